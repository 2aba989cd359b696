"""End what waits for something to tell a client as soon as the client has left."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from aiohttp import web


@runtime_checkable
class TellsOfLeaving(Protocol):
    """A connection that calls back when it is lost."""

    def when_lost(self, tell: Callable[[], object]) -> AbstractContextManager[None]:
        """Call `tell` once if the connection is lost within."""
        ...


@contextmanager
def ends_with_client(request: web.Request) -> Iterator[None]:
    """Cancel what is done within once the client has left, so that nobody works or waits for it.

    aiohttp takes a handler that was cancelled for one whose client has left. Over a connection that tells
    nothing, which the service's own do not, waiting ends with the next thing that is sent.
    """
    connection: object = request.protocol
    task = asyncio.current_task()
    if task is None or not isinstance(connection, TellsOfLeaving):
        yield
        return
    with connection.when_lost(task.cancel):
        yield
