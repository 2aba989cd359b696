"""Watch that a body goes on arriving while the server waits for it."""

import asyncio
from collections.abc import Callable

from aiohttp import StreamReader

#: bytes a second; as Apache's mod_reqtimeout has it
MIN_RATE = 500


class Pace:
    """Calls `too_slow` when a span of waiting has brought less than `MIN_RATE` bytes a second.

    Counted is what has arrived, whether or not it was read yet, and only time in which more could arrive:
    a disk that is slow is not the client's fault.
    """

    def __init__(self, body: StreamReader, *, span: float, too_slow: Callable[[], None]) -> None:
        self.body = body
        self._span = span
        self._too_slow = too_slow
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = self._loop.time()
        self._begin()

    def pause(self) -> None:
        if self._waiting_since is not None:
            self._waited = self._total()
            self._waiting_since = None

    def resume(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()

    def restart(self) -> None:
        """Begin a new span, which owes nothing to the one before."""
        if self._waiting_since is not None:
            self._waiting_since = self._loop.time()
        self._begin()

    @property
    def over(self) -> bool:
        return self.body.is_eof()

    def _begin(self) -> None:
        self._arrived = self.body.total_bytes
        self._waited = 0.0
        self._timer = self._loop.call_later(self._span, self._check)

    def _total(self) -> float:
        since = self._waiting_since
        return self._waited + (0.0 if since is None else self._loop.time() - since)

    def _check(self) -> None:
        left = self._span - self._total()
        if self.over:
            return
        if left > self._span / 100:
            # paused for a while; a tenth at least, so that a long pause costs few looks
            self._timer = self._loop.call_later(max(left, self._span / 10), self._check)
        elif self.body.total_bytes - self._arrived >= MIN_RATE * self._span:
            self.restart()
        else:
            self._too_slow()
