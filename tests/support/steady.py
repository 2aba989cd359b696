"""An event loop whose clock stands still while the machine does not let the process run."""

import asyncio
import selectors
import time

#: seconds; the most by which the clock goes on between two looks at it, and for which the loop sleeps at once
TICK = 0.05


class _Naps(selectors.DefaultSelector):
    """Wakes at every tick, so that a wait is seen to be one and no stall."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(TICK if timeout is None else min(timeout, TICK))


class SteadyLoop(asyncio.SelectorEventLoop):
    """Both sides of what a test does in its own process go by this clock.

    So a limit of half a second means half a second in which they could run, and holds on a machine that
    stalls for longer than that. Other processes, which pools hold for one, have the system's clock.
    """

    def __init__(self) -> None:
        self._now = self._seen = time.monotonic()
        super().__init__(_Naps())

    def time(self) -> float:
        seen = time.monotonic()
        self._now += min(seen - self._seen, TICK)
        self._seen = seen
        return self._now
