"""Delete the rows of batches that were deleted, and the files that no image uses."""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from types import TracebackType
from typing import Self

from resizer.database import Database
from resizer.errors import DatabaseFailure, NoSpace, StorageFailure
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims

logger = logging.getLogger(__name__)

#: files deleted at once
FILES = 200
#: seconds until what could not be deleted is tried again
PAUSE = 60.0
#: seconds between looks for files that another process has noted, as `resizer check --fix` does
LOOK = 10.0
#: seconds until files that were claimed are looked at again
CLAIMED_PAUSE = 1.0


class Remover:
    """Works in the background from `async with` to its end; the next start continues with what is left."""

    def __init__(self, database: Database, storage: Storage, claims: FileClaims) -> None:
        self._removal = database.removal
        self._storage = storage
        self._claims = claims
        self._woken = asyncio.Event()
        self._to_note: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="remover")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for each in self._waiting:
            each.cancel()
        if self._to_note:
            with contextlib.suppress(DatabaseFailure, NoSpace):  # the next start finds them as unnamed
                await self._note()

    async def through(self) -> None:
        """Return once everything to delete has been tried; what failed is tried again later."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._woken.set()
        await done

    def wake(self) -> None:
        """Look for something to delete."""
        self._woken.set()

    def note(self, names: Collection[str]) -> None:
        """Delete these files unless an image uses them."""
        self._to_note.update(names)
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            waiting, self._waiting = self._waiting, []
            pause = LOOK
            try:
                pause = await self._remove_all()
            except (DatabaseFailure, NoSpace, StorageFailure) as error:
                logger.warning("cannot delete unused files: %s; retrying in %g s", error, PAUSE)
                pause = PAUSE
            except Exception:
                logger.exception("cannot delete unused files; retrying in %g s", PAUSE)
                pause = PAUSE
            for each in waiting:
                if not each.done():
                    each.set_result(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _remove_all(self) -> float:
        """Delete all that is to be deleted; returns the seconds until the next look."""
        await self._note()
        while batch_ids := await self._removal.forgotten():
            for batch_id in batch_ids:
                while await self._removal.delete_some(batch_id):
                    pass
        pause = LOOK
        end: str | None = "" if await self._removal.has_noted() else None
        while end is not None:
            names, end = await self._removal.unused(after=end, limit=FILES)
            pause = min(pause, await self._delete(names))
        return pause

    async def _note(self) -> None:
        names, self._to_note = self._to_note, set()
        if not names:
            return
        try:
            await self._removal.note(names)
        except BaseException:
            self._to_note |= names
            raise

    async def _delete(self, names: Collection[str]) -> float:
        """Delete those that are not claimed; returns the seconds until the next look."""
        with self._claims.deleting(names) as free:
            # claimed now, none of them can be named by an outcome that is recorded after this look
            unused = await self._removal.unused_among(free)
            results = await asyncio.gather(*map(self._storage.delete, unused), return_exceptions=True)
            failed = [name for name, result in zip(unused, results, strict=True) if result is not None]
            for name, result in zip(unused, results, strict=True):
                if isinstance(result, BaseException):
                    logger.warning("cannot delete %s: %s; retrying in %g s", name, result, PAUSE)
            await self._removal.forget_notes([name for name in unused if name not in failed])
        if len(free) < len(names):
            return CLAIMED_PAUSE
        return PAUSE if failed else LOOK
