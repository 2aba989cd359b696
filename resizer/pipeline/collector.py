"""Collect stored files that no image names, such as those of a process killed before it recorded them."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing

from resizer.database import Database
from resizer.errors import StorageFailure
from resizer.pipeline.remover import Remover
from resizer.storage.base import Storage
from resizer.support.background import FailureLog, Periodic

logger = logging.getLogger(__name__)

#: seconds for which an unnamed file is left alone: the outcome that names it may be about to be recorded
GRACE = 600.0
#: files collected by one look; a crash leaves no more than were in flight, so more are no crash's
MOST = 1000
DAY = 24 * 3600.0  # seconds
RETRY = 3600.0  # seconds until the next look where one has failed
#: seconds between two pages of names, so that others hardly notice a look through a million files
PAUSE = 0.05
KEPT = "%s files that no request names %s, and are kept; `resizer check --fix` removes them"


class Collector(Periodic):
    """Looks through the storage at its start and once a day; the remover deletes what it finds."""

    def __init__(self, database: Database, storage: Storage, remover: Remover) -> None:
        super().__init__(self._look, FailureLog("find files that no request names", retry=RETRY))
        self._removal = database.removal
        self._storage = storage
        self._remover = remover

    async def decide(self) -> None:
        """Decide, for a new database, whether files that are stored already may be another's.

        To be called before the first image is stored. Raises `DatabaseFailure`, `NoSpace`.
        """
        if await self._removal.collects_since() is None:
            await self._removal.collect_since(time.time() if await self._may_hold_files() else 0.0)

    async def _may_hold_files(self) -> bool:
        if self._storage.folder is None:
            return True  # a store that cannot be reached must not hold up the start
        try:
            async with aclosing(self._storage.files()) as pages:
                async for page in pages:
                    if page:
                        return True
        except StorageFailure as error:
            logger.warning("cannot look for files of an earlier database: %s; keeping all there are", error)
            return True
        return False

    async def collect(self, *, grace: float = GRACE) -> int:
        """Note every unnamed file older than `grace` seconds for removal; returns how many there are.

        Some are kept, since requests unknown to this database may have published them: files that were
        written before it was made or restored, and all of them where there are more than `MOST`. Raises
        `DatabaseFailure`, `NoSpace`, `StorageFailure`.
        """
        since = await self._removal.collects_since() or 0.0
        older = 0
        names: list[str] = []
        async with aclosing(unnamed_files(self._storage, self._removal.unnamed, grace=grace)) as found:
            async for page in found:
                young = [name for name, written_at in page.items() if written_at >= since]
                older += len(page) - len(young)
                names += young
                if len(names) > MOST:
                    break
                await asyncio.sleep(PAUSE)
        if older:
            logger.warning(KEPT, older, "are older than this database")
        if len(names) > MOST:
            logger.warning(KEPT, f"more than {MOST}", "are too many to be a crash's leftovers")
            return 0
        if names:
            logger.info("removing %s files that no request names, left by a crash", len(names))
            self._remover.note(names)
        return len(names)

    async def _look(self) -> float:
        await self._storage.sweep()
        await self.collect()
        return DAY


async def unnamed_files(
    storage: Storage, unnamed: Callable[[Collection[str]], Awaitable[list[str]]], *, grace: float
) -> AsyncGenerator[dict[str, float]]:
    """Yield the files older than `grace` seconds that `unnamed` finds no image for, a page at a time.

    Each comes with when it was written, in seconds since the epoch. It may have been removed in between.
    Raises `StorageFailure`, and what `unnamed` raises.
    """
    async with aclosing(storage.files()) as pages:
        async for page in pages:
            newest = time.time() - grace
            old = {name: written_at for name, written_at in page.items() if written_at <= newest}
            yield {name: old[name] for name in await unnamed(old)} if old else {}
