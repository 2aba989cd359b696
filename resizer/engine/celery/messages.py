"""What travels between server and workers, as JSON."""

from typing import Any

from pydantic import TypeAdapter

from resizer.models import Outcome, Task

Message = dict[str, Any]

# fields that a later version adds are passed over, so that machines can be upgraded one after the other
_TASK = TypeAdapter(Task)
_OUTCOME = TypeAdapter(Outcome)


def message_of(value: Task | Outcome) -> Message:
    adapter: TypeAdapter[Any] = _TASK if isinstance(value, Task) else _OUTCOME
    message: Message = adapter.dump_python(value, mode="json", exclude_none=True)
    return message


def task_from(message: Message) -> Task:
    """Read a task. Raises `ValueError` where the message is none of ours."""
    return _TASK.validate_python(message)


def outcome_from(message: Message) -> Outcome:
    """Read an outcome. Raises `ValueError` where the message is none of ours."""
    return _OUTCOME.validate_python(message)
