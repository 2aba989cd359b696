"""Let connections in up to a limit; who comes beyond it is told to come back."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from resizer.support.log_throttle import LogThrottle
from resizer.web.problems import raw_problem

logger = logging.getLogger(__name__)

#: seconds that one who is refused gets to send its request, so that it reads the answer rather than a reset
REFUSAL_WAIT = 1.0
#: refused ones that may do so at once, or as many as are let in where those are fewer; further ones are
#: answered and closed on the spot
REFUSALS = 32

FULL: Final = raw_problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too-many-connections",
    "the server has as many connections open as it may; try again in a few seconds, "
    "or raise server.max_connections and, where the log says so, the limit of open files",
    headers={"Retry-After": "5"},
)


class Door:
    """Makes the protocol of each connection; `connect` is given what to call once it is lost."""

    def __init__(self, connect: Callable[[Callable[[], None]], asyncio.Protocol], *, limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._inside = 0
        self._refused = 0
        self._worth_a_line = LogThrottle()
        #: refused ones that still get time to send their request
        self._waiting = 0

    def __call__(self) -> asyncio.Protocol:
        return Visitor(self)

    def enter(self, transport: asyncio.Transport) -> bool:
        """Hand the connection to a protocol of the server, where there is room."""
        if self._inside >= self._limit:
            self._refused += 1
            self._warn()
            return False
        self._inside += 1
        protocol = self._connect(self._leave)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return True

    def wait(self) -> bool:
        """Have one of the refused wait for its request, where there is room for it."""
        if self._waiting >= min(REFUSALS, self._limit):
            return False
        self._waiting += 1
        return True

    def stop_waiting(self) -> None:
        self._waiting -= 1

    def _leave(self) -> None:
        self._inside -= 1

    def _warn(self) -> None:
        if self._worth_a_line():
            logger.warning(
                "%s connections are open, as many as server.max_connections and the open files allow: "
                "further ones get 503 (%s so far)",
                self._inside,
                self._refused,
            )


class Visitor(asyncio.Protocol):
    """A connection of which it is not known yet whether there is room for it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's is one
        if self._door.enter(transport):
            return
        self._transport = transport
        if self._door.wait():
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
            self._timer = None
            self._door.stop_waiting()

    def _refuse(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(FULL)
            self._transport.close()
