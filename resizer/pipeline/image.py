"""Process images on this machine: fetch, compress in a child process, store."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from resizer.compress.calls import CompressResult, make_file
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.errors import ImageError, PoolDown
from resizer.fetch.downloads import Downloads
from resizer.fetch.fetcher import Fetched, Fetcher, Unchanged
from resizer.metrics import Metrics
from resizer.models import Compressed, Fault, Known, Outcome, Recipe, Task
from resizer.naming import stem_of
from resizer.storage.base import Storage
from resizer.support.failpoints import Point, reach
from resizer.support.keyed_lock import Turns

logger = logging.getLogger(__name__)

#: address space of a child before its first image; measured: 260 MiB with all libraries and their threads
CHILD_BASE = 512 * 2**20
#: Address space that a child needs beyond its start, for each pixel of compress.max_pixels. Measured with 50
#: megapixels: AVIF of RGBA 36.5, AVIF of RGB 33.3, WebP of RGBA 31.5, PNG 18.8, JPEG 12.0, animations 11.2;
#: PNG by libvips with 25 takes 33, JPEG by trellis with 16 takes 31.
BYTES_PER_PIXEL = 40


class LocalEngine:
    """The road of one image. Fetcher, pool and storage are opened and closed by their owner."""

    def __init__(
        self,
        fetcher: Fetcher,
        pool: CompressPool,
        storage: Storage,
        settings: CompressSettings,
        metrics: Metrics | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._pool = pool
        self._storage = storage
        self._max_pixels = settings.max_pixels
        self._metrics = metrics or Metrics()
        self._turns = Turns()
        self._downloads = Downloads(fetcher)
        self._running = 0
        storage.expect(lambda: self._running)

    @property
    def wants_more(self) -> bool:
        return self._pool.has_room

    def workers(self, configured: int) -> int:
        return configured

    async def run(self, task: Task, *, fetched: Callable[[], None] = lambda: None) -> Outcome:
        self._running += 1
        try:
            return await self._run(task, fetched)
        finally:
            self._running -= 1

    async def _run(self, task: Task, told: Callable[[], None]) -> Outcome:
        outcome = partial(Outcome, batch_id=task.batch_id, seq=task.seq)
        attempts = 0
        try:
            known = await self._still_there(task.known)
            if known and known.fresh:
                self._metrics.image_reused("shared")
                return outcome(attempts=0, compressed=known.compressed, source=known.source)
            began = time.perf_counter()
            async with self._fetch(task.url, known) as fetched:
                attempts = fetched.attempts
                seconds = time.perf_counter() - began
                told()
                if known and isinstance(fetched, Unchanged):
                    self._metrics.fetched(seconds, 0)
                    self._metrics.image_reused("unchanged")
                    return outcome(attempts=attempts, compressed=known.compressed, source=fetched.source)
                assert isinstance(fetched, Fetched)  # noqa: S101 - unchanged is only what was known
                self._metrics.fetched(seconds, fetched.size)
                reach(Point.FETCHED)
                compressed = await self._compress_once(fetched, task.recipe)
        except ImageError as error:
            return outcome(attempts=attempts or error.attempts, fault=Fault.of(error))
        return outcome(attempts=attempts, compressed=compressed, source=fetched.source)

    async def check(self) -> None:
        if not self._pool.pids:
            raise PoolDown

    def _fetch(self, url: str, known: Known | None) -> AbstractAsyncContextManager[Fetched | Unchanged]:
        if known is None or not known.source.can_be_asked:
            return self._downloads.fetch(url)
        return self._fetcher.fetch_if_changed(url, known.source)

    async def _still_there(self, known: Known | None) -> Known | None:
        if known is None or await self._storage.find(known.compressed.filename) is None:
            return None
        return known

    async def _compress_once(self, fetched: Fetched, recipe: Recipe) -> Compressed:
        """Compress, unless there is a file of the same bytes and recipe; who comes meanwhile waits for it."""
        stem = stem_of(fetched.source.digest, recipe)
        async with self._turns.of(stem):
            draft = self._storage.draft()
            began = time.perf_counter()
            made = await self._make(fetched, draft, stem, recipe)
            if made.found:
                self._metrics.image_reused("same_bytes")
                return made.compressed
            reach(Point.COMPRESSED)
            compressed_at = time.perf_counter()
            self._metrics.compressed(compressed_at - began)
            if made.damaged:
                logger.warning("%s is damaged and is made again", made.damaged)
                await self._storage.delete(made.damaged)
            await self._put(draft, made.compressed.filename)
            self._metrics.stored(time.perf_counter() - compressed_at, made.compressed.output_bytes)
            return made.compressed

    async def _make(self, fetched: Fetched, draft: Path, stem: str, recipe: Recipe) -> CompressResult:
        call = self._pool.submit(
            make_file,
            str(fetched.path),
            str(draft),
            folder=str(self._storage.folder) if self._storage.folder else None,
            stem=stem,
            input_bytes=fetched.size,
            recipe=recipe,
            max_pixels=self._max_pixels,
        )
        try:
            # it goes on when the image is cancelled
            return await asyncio.shield(call)
        except BaseException:
            if call.done():
                _forget(draft, call)
            else:
                # the child may be at it, and make the draft yet
                call.add_done_callback(partial(_forget, draft))
            raise

    async def _put(self, draft: Path, name: str) -> None:
        """Store the file; whoever is cancelled meanwhile has it all the same, so that its name is known."""
        putting = asyncio.create_task(self._storage.put(draft, name))
        try:
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            await asyncio.wait({putting})
            putting.result()


def memory_limit(settings: CompressSettings) -> int:
    """Return the address space in bytes that a child needs for the largest image allowed."""
    return CHILD_BASE + BYTES_PER_PIXEL * settings.max_pixels


def _forget(draft: Path, call: asyncio.Future[CompressResult]) -> None:
    if not call.cancelled():
        call.exception()  # no one else asks for it
    try:
        draft.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", draft, error.strerror)
