"""Cancel work for clients that disconnect."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from resizer.web.connection.client_connection import ClientConnection


@contextmanager
def cancelled_on_disconnect(request: web.Request) -> Iterator[None]:
    """Cancel the current task if the client disconnects inside the block.

    aiohttp treats a cancelled handler as one whose client has disconnected. On other connections than the
    service's own, the task ends with the next write.
    """
    connection: object = request.protocol
    task = asyncio.current_task()
    if task is None or not isinstance(connection, ClientConnection):
        yield
        return
    with connection.calling_when_lost(task.cancel):
        yield
