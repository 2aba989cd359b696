"""End connections whose client stops reading."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import Final

#: offset of tcpi_bytes_acked, 64 bits, in struct tcp_info of Linux 4.1 and newer
BYTES_ACKED: Final = 120
#: checks per span
CHECKS: Final = 4


class WriteTimeout:
    """Ends a connection if the client acknowledges nothing for `span` seconds while bytes are unsent.

    The kernel's counters cover everything that is sent, including what is left after closing.
    TCP_USER_TIMEOUT does not help: a slow reader with a large buffer acknowledges nothing for minutes and
    still answers probes. Only Linux exposes the counters; on other systems nothing is ended.
    """

    def __init__(self, transport: asyncio.Transport, *, span: float) -> None:
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._span = span
        self._loop = asyncio.get_running_loop()
        self._acked = -1
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        if sys.platform == "linux":
            self._check()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        acked, now = bytes_acked(self._socket), self._loop.time()
        if acked != self._acked or not bytes_unsent(self._socket):
            self._acked, self._since = acked, now
        elif now - self._since >= self._span:
            self._end()
            return
        self._timer = self._loop.call_later(self._span / CHECKS, self._check)

    def _end(self) -> None:
        # transport.abort() would leave loop.sendfile waiting for a closed socket
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):  # closed concurrently
            self._socket.shutdown(socket.SHUT_RDWR)


def bytes_acked(connection: socket.socket) -> int:
    """Return how many bytes the client has acknowledged on this connection."""
    tcp_info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
    number: int = struct.unpack_from("Q", tcp_info, BYTES_ACKED)[0]
    return number


def bytes_unsent(connection: socket.socket) -> int:
    """Return how many bytes the kernel holds that the client has not acknowledged."""
    number: int = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return number
