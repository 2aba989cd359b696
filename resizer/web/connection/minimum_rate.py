"""End request bodies that arrive too slowly."""

import asyncio
from collections.abc import Callable

from aiohttp import StreamReader

#: bytes per second; Apache's mod_reqtimeout uses the same
MIN_RATE = 500


class MinimumRate:
    """Calls `too_slow` if a body brings less than `MIN_RATE` bytes per second over `span` seconds.

    Only time in which the server reads from the socket counts: a slow disk is not the client's fault. Bytes
    count as soon as they arrive, whether or not the handler has read them.
    """

    def __init__(self, body: StreamReader, *, span: float, too_slow: Callable[[], None]) -> None:
        self.body = body
        self._span = span
        self._too_slow = too_slow
        self._loop = asyncio.get_running_loop()
        self._reading_since: float | None = self._loop.time()
        self._start_span()

    @property
    def complete(self) -> bool:
        return self.body.is_eof()

    def pause(self) -> None:
        if self._reading_since is not None:
            self._counted = self._seconds_read()
            self._reading_since = None

    def resume(self) -> None:
        if self._reading_since is None:
            self._reading_since = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()

    def restart(self) -> None:
        """Begin a new span and ignore the bytes of the previous one."""
        if self._reading_since is not None:
            self._reading_since = self._loop.time()
        self._start_span()

    def _start_span(self) -> None:
        self._bytes_before = self.body.total_bytes
        self._counted = 0.0
        self._timer = self._loop.call_later(self._span, self._check)

    def _seconds_read(self) -> float:
        since = self._reading_since
        return self._counted + (0.0 if since is None else self._loop.time() - since)

    def _check(self) -> None:
        left = self._span - self._seconds_read()
        if self.complete:
            return
        if left > self._span / 100:
            # reading was paused; at least a tenth, so that a long pause costs few timers
            self._timer = self._loop.call_later(max(left, self._span / 10), self._check)
        elif self.body.total_bytes - self._bytes_before >= MIN_RATE * self._span:
            self.restart()
        else:
            self._too_slow()
