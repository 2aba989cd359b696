"""An event loop whose clock stops while the process is not scheduled."""

import asyncio
import selectors
import time

#: seconds; longest advance of the clock between two readings, and longest sleep of the loop
TICK = 0.05


class _Naps(selectors.DefaultSelector):
    """Wakes at every tick, to distinguish a wait from a stall."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(TICK if timeout is None else min(timeout, TICK))


class SteadyLoop(asyncio.SelectorEventLoop):
    """The loop of client and server in a test's process.

    A limit of half a second is half a second of running time, even if the machine stalls for longer. Other
    processes, such as a pool's, use the system's clock.
    """

    def __init__(self) -> None:
        self._now = self._seen = time.monotonic()
        super().__init__(_Naps())

    def time(self) -> float:
        seen = time.monotonic()
        self._now += min(seen - self._seen, TICK)
        self._seen = seen
        return self._now
