"""Limit the number of open connections; answer 503 beyond it."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from resizer.support.log_throttle import LogThrottle
from resizer.web.problems import raw_problem

logger = logging.getLogger(__name__)

#: seconds in which a refused client may send its request; a client that is still sending sees a reset
#: instead of the answer
REFUSAL_WAIT = 1.0
#: refused connections that may wait at once, at most the limit itself; others are closed immediately
REFUSALS = 32

TOO_MANY_CONNECTIONS: Final = raw_problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too-many-connections",
    "the server has reached its limit of open connections; retry in a few seconds, or raise "
    "server.max_connections and, if the log says so, the limit of open files",
    headers={"Retry-After": "5"},
)


class ConnectionLimiter:
    """Protocol factory that admits up to `limit` connections at once.

    `connect` makes the protocol of an admitted connection; its argument is to be called once the connection
    no longer counts.
    """

    def __init__(self, connect: Callable[[Callable[[], None]], asyncio.Protocol], *, limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._open = 0
        self._refused = 0
        #: refused connections that may still send their request
        self.waiting: set[PendingConnection] = set()
        self._may_log = LogThrottle()

    def __call__(self) -> asyncio.Protocol:
        return PendingConnection(self)

    def admit(self, transport: asyncio.Transport) -> bool:
        """Give the connection its protocol, unless the limit is reached."""
        if self._open >= self._limit:
            self._refused += 1
            self._warn()
            return False
        self._open += 1
        protocol = self._connect(self._release)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return True

    @property
    def lets_wait(self) -> bool:
        return len(self.waiting) < min(REFUSALS, self._limit)

    def _release(self) -> None:
        self._open -= 1

    def _warn(self) -> None:
        if self._may_log():
            logger.warning(
                "Too many connections: %s are open, the limit set by server.max_connections and the limit of "
                "open files; answering further ones 503 (%s so far)",
                self._open,
                self._refused,
            )


class PendingConnection(asyncio.Protocol):
    """A new connection, before it is admitted or refused."""

    def __init__(self, limiter: ConnectionLimiter) -> None:
        self._limiter = limiter
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - always true for streams
        if self._limiter.admit(transport):
            return
        self._transport = transport
        if self._limiter.lets_wait:
            self._limiter.waiting.add(self)
            self._timer = asyncio.get_running_loop().call_later(REFUSAL_WAIT, self._refuse)
        else:
            self._refuse()

    def data_received(self, data: bytes) -> None:
        del data
        self._refuse()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._limiter.waiting.discard(self)

    def _refuse(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(TOO_MANY_CONNECTIONS)
            self._transport.close()
