"""The messages between server and workers, as JSON."""

import json
from dataclasses import dataclass
from typing import Any, Self

from celery.states import READY_STATES
from pydantic import TypeAdapter, ValidationError
from redis import exceptions

from resizer.models import Outcome, Task

Message = dict[str, Any]

#: module and name of a worker's errors at a loss of the broker, as Celery's backend stores them
CUT_OFF = {
    (each.__module__, each.__name__)
    for each in (exceptions.BusyLoadingError, exceptions.ConnectionError, exceptions.TimeoutError)
}

# fields of a later version are ignored, so that machines can be upgraded one after the other
_TASK = TypeAdapter(Task)
_OUTCOME = TypeAdapter(Outcome)


def message_of(value: Task | Outcome) -> Message:
    adapter: TypeAdapter[Any] = _TASK if isinstance(value, Task) else _OUTCOME
    message: Message = adapter.dump_python(value, mode="json", exclude_none=True)
    return message


def task_from(message: Message) -> Task:
    """Parse a task. Raises `ValueError`."""
    task: Task = _read(_TASK, message)
    return task


def outcome_from(message: Message) -> Outcome:
    """Parse an outcome. Raises `ValueError`."""
    outcome: Outcome = _read(_OUTCOME, message)
    return outcome


def id_of(raw: str | bytes) -> str | None:
    """Return the id of a task from a message in the queue, or from kombu's entry for an unacknowledged one.

    None if it is not Celery's.
    """
    try:
        found = json.loads(raw)
        message = found[0] if isinstance(found, list) else found
        task_id = message["headers"]["id"]
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
    # not from the library's error, which repeats the message with its URLs
    raise ValueError(f"cannot read the message, perhaps of another version of resizer: {wrong}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """A worker's heartbeat."""

    #: images it can process at a time
    slots: int
    #: ids of its tasks
    held: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps({"slots": self.slots, "held": self.held})

    @classmethod
    def from_json(cls, raw: str) -> Self | None:
        """Parse a heartbeat; None if it is malformed."""
        try:
            found = json.loads(raw)
            return cls(slots=int(found["slots"]), held=tuple(map(str, found["held"])))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Celery's record of a task that has ended."""

    task_id: str
    status: str
    #: an outcome's message, None if it was cancelled, or an error
    result: Any

    @classmethod
    def from_json(cls, raw: str) -> Self | None:
        """Parse a result; None if it is malformed, or of a task that has not ended."""
        try:
            found = json.loads(raw)
            if found["status"] not in READY_STATES:
                return None
            return cls(task_id=str(found["task_id"]), status=found["status"], result=found["result"])
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def was_cut_off(self) -> bool:
        """Return whether the task failed only because its worker lost the broker."""
        error = self.result if isinstance(self.result, dict) else {}
        return (error.get("exc_module"), error.get("exc_type")) in CUT_OFF
