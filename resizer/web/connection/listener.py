"""Accept connections; pause while the system has no descriptors or memory for them."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Self

from resizer.errors import shortage
from resizer.support.log_throttle import LogThrottle

logger = logging.getLogger(__name__)

#: connections the kernel queues until they are accepted; clients beyond it retry after 1 s, then 2 s …
BACKLOG = 1024
#: connections accepted per step of the loop; refusing one takes four steps, so up to four times as many are
#: open beyond the limit
ACCEPTS = 8
#: seconds without accepting after a shortage
PAUSE = 0.1


class Listener:
    """Accepts connections until it is closed; `connect` makes the protocol of each.

    asyncio's own server tries a thousand times in a row if no descriptor is left, logs each try with a
    traceback, and then waits for a second.
    """

    def __init__(self, sockets: Sequence[socket.socket], connect: Callable[[], asyncio.Protocol]) -> None:
        self.sockets = sockets
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._may_log = LogThrottle()
        self._resume()

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        connect: Callable[[], asyncio.Protocol],
        *,
        taken: socket.socket | None = None,
    ) -> Self:
        """Listen on every address of the host, or on the bound socket `taken`.

        Raises `OSError`, and `UnicodeError` if the host is not a host name.
        """
        loop = asyncio.get_running_loop()
        # asyncio resolves the addresses and binds them
        server = await (
            loop.create_server(asyncio.Protocol, host, port, start_serving=False)
            if taken is None
            else loop.create_server(asyncio.Protocol, sock=taken, start_serving=False)
        )
        sockets: list[socket.socket] = []
        try:
            for bound in server.sockets:
                sockets.append(bound.dup())
                sockets[-1].setblocking(False)  # noqa: FBT003 - the parameter has no name
                sockets[-1].listen(BACKLOG)
        except OSError:
            for each in sockets:
                each.close()
            raise
        finally:
            server.close()
        return cls(sockets, connect)

    def close(self) -> None:
        """Stop accepting; accepted connections stay open."""
        if self._paused is not None:
            self._paused.cancel()
        for each in self.sockets:
            self._loop.remove_reader(each)
            each.close()

    def _resume(self) -> None:
        self._paused = None
        for each in self.sockets:
            self._loop.add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except (OSError, MemoryError) as error:
                self._pause(error)
                return
            arriving = self._loop.create_task(self._arrive(connection))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)

    async def _arrive(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)  # noqa: FBT003 - the parameter has no name
            await self._loop.connect_accepted_socket(self._connect, connection)
        except (OSError, MemoryError) as error:
            connection.close()
            logger.debug("Lost a new connection: %s", error)

    def _pause(self, error: OSError | MemoryError) -> None:
        for each in self.sockets:
            self._loop.remove_reader(each)
        self._paused = self._loop.call_later(PAUSE, self._resume)
        if self._may_log():
            logger.warning("Cannot accept connections: %s; retrying", shortage(error) or error)
