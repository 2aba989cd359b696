"""Tie the log lines of one request together by its id."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_tie: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def tied_to(request_id: str | None) -> Iterator[None]:
    """Put this id on every log line within, and on those of tasks and threads begun within; None unties.

    What outlives its request, such as a timer for others, is begun untied, or it takes the id along.
    """
    token = _tie.set(request_id)
    try:
        yield
    finally:
        _tie.reset(token)


def tie() -> str | None:
    """Return the id that log lines are tied to here."""
    return _tie.get()


class TieFilter(logging.Filter):
    """Notes on each record, as `request_id`, what it is tied to; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = _tie.get()
        return True
