"""Watch that a client goes on taking what is sent to it."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import Final

#: where struct tcp_info of Linux 4.1 and newer holds tcpi_bytes_acked, a number of 64 bits
BYTES_ACKED: Final = 120
#: looks in a span
LOOKS: Final = 4


class Taking:
    """Ends a connection of which nothing was taken for a whole span although there is something to take.

    Asked is the system, what the other side has acknowledged, so that it holds for whatever sends: pieces, a
    file, or what is left after closing. A limit of the system's own (TCP_USER_TIMEOUT) does not serve: a
    client with a large buffer that reads slowly gives no sign for minutes, and it is no silence of the line.
    Other systems than Linux do not tell, so nothing is ended there.
    """

    def __init__(self, transport: asyncio.Transport, *, span: float) -> None:
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._span = span
        self._loop = asyncio.get_running_loop()
        self._taken = -1
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        if sys.platform == "linux":
            self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        taken, now = bytes_acked(self._socket), self._loop.time()
        if taken != self._taken or not bytes_under_way(self._socket):
            self._taken, self._since = taken, now
        elif now - self._since >= self._span:
            self._end()
            return
        self._timer = self._loop.call_later(self._span / LOOKS, self._look)

    def _end(self) -> None:
        # not by the transport: whoever sends a file there would wait on for a socket that is closed
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):  # it has ended by itself just now
            self._socket.shutdown(socket.SHUT_RDWR)


def bytes_acked(connection: socket.socket) -> int:
    """Return how many bytes the other side has acknowledged since the connection was made."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
    number: int = struct.unpack_from("Q", told, BYTES_ACKED)[0]
    return number


def bytes_under_way(connection: socket.socket) -> int:
    """Return how many bytes the system still holds for the other side, sent or not."""
    number: int = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return number
