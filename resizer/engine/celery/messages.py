"""What travels between server and workers, as JSON."""

import json
from dataclasses import dataclass
from typing import Any, Self

from celery.states import READY_STATES
from pydantic import TypeAdapter, ValidationError
from redis import exceptions

from resizer.models import Outcome, Task

Message = dict[str, Any]

#: module and name of what a worker meets whose broker goes away, as Celery's backend tells it
CUT_OFF = {
    (each.__module__, each.__name__)
    for each in (exceptions.BusyLoadingError, exceptions.ConnectionError, exceptions.TimeoutError)
}

# fields that a later version adds are passed over, so that machines can be upgraded one after the other
_TASK = TypeAdapter(Task)
_OUTCOME = TypeAdapter(Outcome)


def message_of(value: Task | Outcome) -> Message:
    adapter: TypeAdapter[Any] = _TASK if isinstance(value, Task) else _OUTCOME
    message: Message = adapter.dump_python(value, mode="json", exclude_none=True)
    return message


def task_from(message: Message) -> Task:
    """Read a task. Raises `ValueError` where the message is none of ours."""
    task: Task = _read(_TASK, message)
    return task


def outcome_from(message: Message) -> Outcome:
    """Read an outcome. Raises `ValueError` where the message is none of ours."""
    outcome: Outcome = _read(_OUTCOME, message)
    return outcome


def id_of(raw: str | bytes) -> str | None:
    """Return the id of the task in a message as it stands in a queue; None where it is none of Celery's."""
    try:
        task_id = json.loads(raw)["headers"]["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return task_id if isinstance(task_id, str) else None


def held_id_of(raw: str | bytes) -> str | None:
    """Return the id of the task in what kombu notes of a message that waits to be acknowledged."""
    try:
        task_id = json.loads(raw)[0]["headers"]["id"]
    except (ValueError, LookupError, TypeError):
        return None
    return task_id if isinstance(task_id, str) else None


def _read(adapter: TypeAdapter[Any], message: Message) -> Any:
    try:
        return adapter.validate_python(message)
    except ValidationError as error:
        wrong = ", ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)
        )
    # without the library's own error, which repeats the message, URLs and all
    raise ValueError(f"the message cannot be read, as of another version of resizer: {wrong}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """A worker's sign of life."""

    #: images that it can be at
    slots: int
    #: ids of tasks that it has
    held: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps({"slots": self.slots, "held": self.held})

    @classmethod
    def from_json(cls, raw: str) -> Self | None:
        """Read a sign; None where it is none."""
        try:
            found = json.loads(raw)
            return cls(slots=int(found["slots"]), held=tuple(map(str, found["held"])))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What Celery's backend says of a task that has ended."""

    task_id: str
    status: str
    #: an outcome's message, None where it was cancelled, or what went wrong
    result: Any

    @classmethod
    def from_json(cls, raw: str) -> Self | None:
        """Read a result; None where it is none, or of a task that has not ended."""
        try:
            found = json.loads(raw)
            if found["status"] not in READY_STATES:
                return None
            return cls(task_id=str(found["task_id"]), status=found["status"], result=found["result"])
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def was_cut_off(self) -> bool:
        """Tell whether the task failed only because its worker could not tell the broker what came of it."""
        told = self.result if isinstance(self.result, dict) else {}
        return (told.get("exc_module"), told.get("exc_type")) in CUT_OFF
