"""Delete what is left of batches that nobody sees any more, and the files that no image uses."""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Self

from resizer.database import Database
from resizer.errors import DatabaseFailure, NoSpace, StorageFailure
from resizer.storage.base import Storage

logger = logging.getLogger(__name__)

#: files deleted at once
FILES = 200
#: seconds until what could not be deleted is tried again
PAUSE = 60.0
#: seconds between looks for files that another process has noted, as `resizer check --fix` does
LOOK = 10.0


class Remover:
    """Works in the background from `async with` to its end; the next start goes on with what is left."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._removal = database.removal
        self._storage = storage
        self._woken = asyncio.Event()
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

    async def through(self) -> None:
        """Return once all that is to go by now has been looked at; what failed is tried again later."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._woken.set()
        await done

    def wake(self) -> None:
        """Look for something to delete."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            waiting, self._waiting = self._waiting, []
            try:
                left = await self._remove_all()
            except (DatabaseFailure, NoSpace, StorageFailure) as error:
                logger.warning("deleting waits; next try in %g s: %s", PAUSE, error)
                left = True
            except Exception:
                logger.exception("deleting met a fault of the service; next try in %g s", PAUSE)
                left = True
            for each in waiting:
                if not each.done():
                    each.set_result(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE if left else LOOK):
                    await self._woken.wait()

    async def _remove_all(self) -> bool:
        """Delete everything that is to go; returns whether some of it could not be."""
        while batch_ids := await self._removal.forgotten():
            for batch_id in batch_ids:
                while await self._removal.delete_some(batch_id):
                    pass
        kept = 0
        end: str | None = "" if await self._removal.has_noted() else None
        while end is not None:
            names, end = await self._removal.unused(after=end, limit=FILES)
            if names:
                kept += await self._delete(names)
        return kept > 0

    async def _delete(self, names: list[str]) -> int:
        gone: list[str] = []
        results = await asyncio.gather(*map(self._storage.delete, names), return_exceptions=True)
        for name, result in zip(names, results, strict=True):
            if isinstance(result, BaseException):
                logger.warning("%s could not be deleted, and is tried again: %s", name, result)
            else:
                gone.append(name)
        await self._removal.forget_notes(gone)
        return len(names) - len(gone)
