"""Be polite to each host: so many connections at once, and none while it asked for a pause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yarl import URL

Origin = tuple[str, int]


@dataclass(slots=True)
class _Entry:
    places: asyncio.Semaphore
    #: coroutines that hold a place or wait for one
    users: int = 0


class Courtesy:
    """The places at each host; a host is a name and a port."""

    def __init__(self, *, per_host: int) -> None:
        self._per_host = per_host
        self._entries: dict[Origin, _Entry] = {}
        #: loop time before which a host is left alone
        self._paused: dict[Origin, float] = {}

    @asynccontextmanager
    async def place(self, url: URL) -> AsyncIterator[None]:
        """Hold one of the places at the URL's host; waits for it, and for the end of a pause."""
        origin = _origin(url)
        entry = self._entries.setdefault(origin, _Entry(asyncio.Semaphore(self._per_host)))
        entry.users += 1
        try:
            while True:
                if (pause := self._remaining(origin)) > 0:
                    await asyncio.sleep(pause)
                async with entry.places:
                    # who held the place may have met a new pause
                    if self._remaining(origin) > 0:
                        continue
                    yield
                    return
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[origin]

    def pause(self, url: URL, seconds: float) -> None:
        """Let nobody begin at the URL's host for so long."""
        now = asyncio.get_running_loop().time()
        self._paused = {origin: until for origin, until in self._paused.items() if until > now}
        origin = _origin(url)
        self._paused[origin] = max(self._paused.get(origin, 0.0), now + seconds)

    def _remaining(self, origin: Origin) -> float:
        return max(0.0, self._paused.get(origin, 0.0) - asyncio.get_running_loop().time())


def _origin(url: URL) -> Origin:
    # the final dot of a full name makes no other host
    return (url.host or "").rstrip("."), url.port or 0
