"""Count what is in use, and wait until it is less than a limit."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bounded:
    """A count with a limit, which only those heed that ask for room: it can be passed for a while."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._below = asyncio.Event()
        self._below.set()

    async def room(self) -> None:
        """Wait until the count is below its limit."""
        await self._below.wait()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        self._used += 1
        if self._used >= self._limit:
            self._below.clear()
        try:
            yield
        finally:
            self._used -= 1
            if self._used < self._limit:
                self._below.set()
