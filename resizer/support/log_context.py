"""Add the id of the current request to log lines."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


@contextmanager
def log_request_id(request_id: str | None) -> Iterator[None]:
    """Add this id to the log lines of the block, and of tasks and threads started in it; None adds no id.

    Start a timer or task that serves other requests too outside of the block, or with None.
    """
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def current_request_id() -> str | None:
    return _request_id.get()


class RequestIdFilter(logging.Filter):
    """Sets `request_id` on each log record; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = _request_id.get()
        return True
