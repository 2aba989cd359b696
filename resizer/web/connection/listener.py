"""Accept connections while the system has room for them, and pause while it has not."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Self

from resizer.errors import shortage
from resizer.support.log_throttle import LogThrottle

logger = logging.getLogger(__name__)

#: connections that the system holds until they are accepted; clients beyond these retry after 1 s, then 2 s …
BACKLOG = 1024
#: connections accepted in one step of the loop; refusing one takes four steps, so up to four times as many
#: are open beyond the limit
AT_A_GO = 8
#: seconds for which accepting pauses where the system has no room
PAUSE = 0.1


class Listener:
    """Accepts connections until it is closed; each gets a protocol made by `connect`.

    asyncio's own way of accepting tries a thousand times in a row where no descriptor is left, logs each try
    with a traceback, and then does not look for a second.
    """

    def __init__(self, sockets: Sequence[socket.socket], connect: Callable[[], asyncio.Protocol]) -> None:
        self.sockets = sockets
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._worth_a_line = LogThrottle()
        self._accept_again()

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        connect: Callable[[], asyncio.Protocol],
        *,
        taken: socket.socket | None = None,
    ) -> Self:
        """Listen on each address of the host, or on the socket `taken`, which is bound already.

        Raises `OSError`, and `UnicodeError` where the host is no name.
        """
        loop = asyncio.get_running_loop()
        # asyncio finds the addresses and binds them
        server = await (
            loop.create_server(asyncio.Protocol, host, port, start_serving=False)
            if taken is None
            else loop.create_server(asyncio.Protocol, sock=taken, start_serving=False)
        )
        sockets: list[socket.socket] = []
        try:
            for bound in server.sockets:
                sockets.append(bound.dup())
                sockets[-1].setblocking(False)  # noqa: FBT003 - so it is called
                sockets[-1].listen(BACKLOG)
        except OSError:
            for each in sockets:
                each.close()
            raise
        finally:
            server.close()
        return cls(sockets, connect)

    def close(self) -> None:
        """Accept no more; what was accepted stays."""
        if self._paused is not None:
            self._paused.cancel()
        for each in self.sockets:
            self._loop.remove_reader(each)
            each.close()

    def _accept_again(self) -> None:
        self._paused = None
        for each in self.sockets:
            self._loop.add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_A_GO):
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
            connection.setblocking(False)  # noqa: FBT003 - so it is called
            await self._loop.connect_accepted_socket(self._connect, connection)
        except (OSError, MemoryError) as error:
            connection.close()
            logger.debug("a connection was lost as it was accepted: %s", error)

    def _pause(self, error: OSError | MemoryError) -> None:
        for each in self.sockets:
            self._loop.remove_reader(each)
        self._paused = self._loop.call_later(PAUSE, self._accept_again)
        if self._worth_a_line():
            logger.warning("no connections are accepted until there is room: %s", shortage(error) or error)
