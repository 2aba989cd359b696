"""Delete the rows of batches that were deleted, and the files that no image uses."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from resizer.database import Database
from resizer.errors import DatabaseFailure, NoSpace
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims
from resizer.support.background import FailureLog, Periodic

logger = logging.getLogger(__name__)

#: files deleted at once
FILES = 200
#: seconds until what could not be deleted is tried again
PAUSE = 60.0
#: seconds between looks for files that another process has noted, as `resizer check --fix` does
LOOK = 10.0
#: seconds until files that were claimed are looked at again
CLAIMED_PAUSE = 1.0


class Remover(Periodic):
    """Deletes in the background; the next start continues with what is left."""

    def __init__(self, database: Database, storage: Storage, claims: FileClaims) -> None:
        super().__init__(self._pass, FailureLog("delete unused files", retry=PAUSE))
        self._removal = database.removal
        self._storage = storage
        self._claims = claims
        self._to_note: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        for each in self._waiting:
            each.cancel()
        with suppress(DatabaseFailure, NoSpace):  # the next start finds them as unnamed
            await self._note()

    async def through(self) -> None:
        """Return once everything to delete has been tried; what failed is tried again later."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self.wake()
        await done

    def note(self, names: Collection[str]) -> None:
        """Delete these files unless an image uses them."""
        self._to_note.update(names)
        self.wake()

    async def _pass(self) -> float:
        """Delete all that can be deleted; returns the seconds until the next look."""
        waiting, self._waiting = self._waiting, []
        try:
            return await self._remove_all()
        finally:
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    async def _remove_all(self) -> float:
        await self._note()
        while batch_ids := await self._removal.forgotten():
            for batch_id in batch_ids:
                while await self._removal.delete_some(batch_id):
                    pass
        pauses: list[float] = []
        end: str | None = "" if await self._removal.has_noted() else None
        while end is not None:
            names, end = await self._removal.unused(after=end, limit=FILES)
            pauses += await self._delete(names)
        return min(pauses, default=LOOK)

    async def _note(self) -> None:
        names, self._to_note = self._to_note, set()
        if not names:
            return
        try:
            await self._removal.note(names)
        except BaseException:
            self._to_note |= names
            raise

    async def _delete(self, names: Collection[str]) -> list[float]:
        """Delete those that are not claimed; returns in how many seconds those that are left may be."""
        with self._claims.deleting(names) as free:
            # claimed now, none of them can be named by an outcome that is recorded after this look
            unused = await self._removal.unused_among(free)
            results = await asyncio.gather(*map(self._storage.delete, unused), return_exceptions=True)
            failed = [name for name, result in zip(unused, results, strict=True) if result is not None]
            for name, result in zip(unused, results, strict=True):
                if isinstance(result, BaseException):
                    logger.warning("cannot delete %s: %s; retrying in %g s", name, result, PAUSE)
            await self._removal.forget_notes([name for name in unused if name not in failed])
        return [CLAIMED_PAUSE] * (len(free) < len(names)) + [PAUSE] * bool(failed)
