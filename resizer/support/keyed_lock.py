"""Let those who want the same thing have it one after the other, so that it is made once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class KeyedLock:
    """A lock for each key, which takes no memory when nobody holds it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Be alone with the key."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
