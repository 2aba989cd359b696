"""Process images on this machine: fetch, compress in a child process, store."""

import asyncio
import logging
from functools import partial
from pathlib import Path

from resizer.config import CompressSettings
from resizer.engine.pool import CompressPool
from resizer.errors import ImageError, PoolDown
from resizer.failpoints import Point, reach
from resizer.images.codec import BYTES_PER_PIXEL, compress_file
from resizer.images.fetcher import Fetcher
from resizer.models import Compressed, Fault, Outcome, Recipe, Task
from resizer.storage.base import Storage

logger = logging.getLogger(__name__)

#: address space of a child before its first image; measured: 200 MiB, half of it one thread's arena
CHILD_BASE = 512 * 2**20


class LocalEngine:
    """The road of one image. Fetcher, pool and storage are opened and closed by their owner."""

    def __init__(
        self, fetcher: Fetcher, pool: CompressPool, storage: Storage, settings: CompressSettings
    ) -> None:
        self._fetcher = fetcher
        self._pool = pool
        self._storage = storage
        self._max_pixels = settings.max_pixels

    async def run(self, task: Task) -> Outcome:
        outcome = partial(Outcome, batch_id=task.batch_id, seq=task.seq)
        attempts = 0
        try:
            async with self._fetcher.fetch(task.url) as fetched:
                attempts = fetched.attempts
                reach(Point.FETCHED)
                compressed = await self._compress(fetched.path, task.recipe)
        except ImageError as error:
            return outcome(attempts=attempts or error.attempts, fault=Fault.of(error))
        return outcome(attempts=attempts, compressed=compressed)

    async def check(self) -> None:
        if not self._pool.pids:
            raise PoolDown

    async def _compress(self, source: Path, recipe: Recipe) -> Compressed:
        draft = self._storage.draft()
        call = asyncio.create_task(
            self._pool.run(compress_file, str(source), str(draft), recipe=recipe, max_pixels=self._max_pixels)
        )
        try:
            # unlike awaiting the call, this leaves it alone when the image is cancelled
            await asyncio.wait({call})
            compressed = call.result()
        except BaseException:
            if call.done():
                _forget(draft, call)
            else:
                # the child may be at it, and make the draft yet
                call.add_done_callback(partial(_forget, draft))
            raise
        reach(Point.COMPRESSED)
        await self._storage.put(draft, compressed.filename)
        return compressed


def memory_limit(settings: CompressSettings) -> int:
    """Return the address space in bytes that a child needs for the largest image allowed."""
    return CHILD_BASE + BYTES_PER_PIXEL * settings.max_pixels


def _forget(draft: Path, call: asyncio.Task[Compressed]) -> None:
    if not call.cancelled():
        call.exception()  # no one else asks for it
    try:
        draft.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", draft, error.strerror)
