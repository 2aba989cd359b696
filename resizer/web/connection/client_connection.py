"""A client's connection: aiohttp's, with a write timeout. Depends on aiohttp's public names alone."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from resizer.web.connection.access_log import AccessLogger
from resizer.web.connection.write_timeout import WriteTimeout

#: seconds an idle connection stays open between two requests; longer than proxies keep theirs
KEEPALIVE = 75.0
#: seconds in which an unwanted body is read and dropped, so that the client gets to read the answer
LINGERING = 5.0
#: a client may acknowledge nothing for this many times `server.request_timeout`: a slow reader with a large
#: buffer is silent for that long
WRITE_SPANS = 4


class ClientConnection(web.RequestHandler):
    """One connection to a client.

    `released` is called once the connection no longer counts against `server.max_connections`. Bodies are
    not decompressed: `BodyReader` does that within limits.
    """

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        access_log: logging.Logger,
        request_timeout: float,
        released: Callable[[], None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=access_log,
            access_log_class=AccessLogger,
            keepalive_timeout=max(KEEPALIVE, request_timeout),
            lingering_time=min(LINGERING, request_timeout),
            auto_decompress=False,
        )
        self._request_timeout = request_timeout
        self._released = released
        self._lost_callback: Callable[[], object] | None = None

    @contextmanager
    def calling_when_lost(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` if the connection is lost inside the block, or was before it."""
        self._lost_callback = callback
        if self.transport is None:
            callback()
        try:
            yield
        finally:
            self._lost_callback = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - always true for streams
        self._write_timeout = WriteTimeout(transport, span=WRITE_SPANS * self._request_timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._write_timeout.stop()
        if self._lost_callback is not None:
            self._lost_callback()
        working = self.working_task()
        super().connection_lost(exc)
        if working is None or working.done():
            self._released()
        else:
            # a handler still works for the client
            working.add_done_callback(lambda _: self._released())

    def working_task(self) -> asyncio.Task[Any] | None:
        """Return the task that handles this connection's requests, if it is known."""
        return None
