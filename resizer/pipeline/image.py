"""The road of one image: fetch it, compress it, store it, record what became of it."""

import asyncio
import logging
import time
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from resizer.compress.calls import CompressResult, make_file
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings, QueueSettings
from resizer.database import Database
from resizer.engine.base import Progress
from resizer.errors import DatabaseFailure, ErrorCode, ImageError, NoSpace, OutOfResources, PoolDown, shortage
from resizer.fetch.downloads import Downloads
from resizer.fetch.fetcher import Fetched, Fetcher, Unchanged
from resizer.fetch.hosts import HostLimits, answered
from resizer.metrics import Metrics
from resizer.models import CachedResult, Compressed, Fault, Outcome, Recipe, Task
from resizer.naming import stem_of
from resizer.pipeline.image_cursor import ImageCursor
from resizer.pipeline.shared_tasks import SharedTasks
from resizer.storage.base import Storage
from resizer.storage.claims import stem_of_name
from resizer.support.bounded import Bounded
from resizer.support.failpoints import Point, reach
from resizer.support.keyed_lock import KeyedLock
from resizer.support.log_context import log_request_id
from resizer.support.shielded import shielded

logger = logging.getLogger(__name__)

#: seconds between tries to record an outcome while the database cannot be written: first and longest
RECORD_PAUSE = (0.5, 30.0)


class ImagePipeline:
    """Takes an image from its host's place to its recorded outcome."""

    def __init__(
        self, database: Database, shared: SharedTasks, hosts: HostLimits, *, metrics: Metrics
    ) -> None:
        self._database = database
        self._shared = shared
        self._hosts = hosts
        self._metrics = metrics

    async def process(self, cursor: ImageCursor, host: str, task: Task) -> None:
        """Process one image; its place at the host is given back once the host has sent it."""
        place = _HostPlace(self._hosts, host)
        with log_request_id(cursor.batch.request_id if cursor.batch else None):
            try:
                async with self._shared.outcome_of(task, cursor, on_fetched=place.leave) as outcome:
                    if outcome is not None:
                        place.leave(host_answered=answered(outcome))
                        await self._record(outcome)
            except Exception as error:
                # a fault of ours must not keep the request from ever ending
                logger.exception("cannot process image %s; recording it as failed", task.seq)
                await self._record(_internal(task.batch_id, task.seq, error))
            finally:
                place.leave(host_answered=None)

    async def _record(self, outcome: Outcome) -> None:
        """Record the outcome; a database that cannot be written is waited for."""
        pause, longest = RECORD_PAUSE
        while True:
            try:
                # a cancelled worker keeps its claim until the outcome that names the file is on disk
                await shielded(self._database.record(outcome))
            except (DatabaseFailure, NoSpace) as error:
                logger.error("cannot record an outcome: %s; retrying in %g s", error, pause)  # noqa: TRY400
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
            except Exception as error:
                logger.exception("cannot record %r; recording an internal error", outcome)
                outcome = _internal(outcome.batch_id, outcome.seq, error)
                await asyncio.sleep(pause)
            else:
                self._metrics.image_done(outcome.fault.code if outcome.fault else outcome.status)
                return


class _HostPlace:
    """A place at a host, given back once."""

    def __init__(self, hosts: HostLimits, host: str) -> None:
        self._hosts = hosts
        self._host = host
        self._left = False

    def leave(self, *, host_answered: bool | None = True) -> None:
        if not self._left:
            self._left = True
            self._hosts.leave(self._host, answered=host_answered)


class LocalEngine:
    """Processes images on this machine. Fetcher, pool and storage are opened and closed by their owner."""

    def __init__(
        self,
        fetcher: Fetcher,
        pool: CompressPool,
        storage: Storage,
        settings: CompressSettings,
        queue: QueueSettings,
        *,
        metrics: Metrics,
    ) -> None:
        self._fetcher = fetcher
        self._pool = pool
        self._storage = storage
        self._max_pixels = settings.max_pixels
        self._metrics = metrics
        self._turns = KeyedLock()
        self._downloads = Downloads(fetcher)
        self.workers = queue.fetchers
        #: images that are fetched and not yet compressed
        self._fetched = Bounded(queue.workers)

    async def room(self) -> None:
        await self._fetched.room()

    async def run(self, task: Task, progress: Progress) -> Outcome:
        outcome = partial(Outcome, batch_id=task.batch_id, seq=task.seq)
        attempts = 0
        try:
            known = await self._still_stored(task.known, progress)
            if known and known.fresh:
                self._metrics.image_reused("shared")
                return outcome(attempts=0, compressed=known.compressed, source=known.source)
            began = time.perf_counter()
            async with self._fetch(task.url, known) as fetched:
                attempts = fetched.attempts
                seconds = time.perf_counter() - began
                progress.fetched()
                if known and isinstance(fetched, Unchanged):
                    self._metrics.fetched(seconds, 0)
                    self._metrics.image_reused("unchanged")
                    return outcome(attempts=attempts, compressed=known.compressed, source=fetched.source)
                assert isinstance(fetched, Fetched)  # noqa: S101 - unchanged is only what was known
                self._metrics.fetched(seconds, fetched.size)
                reach(Point.FETCHED)
                with self._fetched.one_more():
                    compressed = await self._compress_once(fetched, task.recipe, progress)
        except ImageError as error:
            return outcome(attempts=attempts or error.attempts, fault=Fault.of(error))
        return outcome(attempts=attempts, compressed=compressed, source=fetched.source)

    async def check(self) -> None:
        if not self._pool.pids:
            raise PoolDown

    async def _still_stored(self, known: CachedResult | None, progress: Progress) -> CachedResult | None:
        if known is None:
            return None
        await progress.claim(stem_of_name(known.compressed.filename))
        return known if await self._storage.find(known.compressed.filename) else None

    def _fetch(
        self, url: str, known: CachedResult | None
    ) -> AbstractAsyncContextManager[Fetched | Unchanged]:
        if known is None or not known.source.can_be_asked:
            return self._downloads.fetch(url)
        return self._fetcher.fetch_if_changed(url, known.source)

    async def _compress_once(self, fetched: Fetched, recipe: Recipe, progress: Progress) -> Compressed:
        """Compress and store, unless there is a file of the same bytes and recipe, or one in the making."""
        stem = stem_of(fetched.source.digest, recipe)
        await progress.claim(stem)
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
                logger.warning("stored file %s is damaged; replacing it", made.damaged)
                await self._delete_damaged(made.damaged, draft)
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
            # it continues when the image is cancelled
            return await asyncio.shield(call)
        except BaseException:
            if call.done():
                _remove_draft(draft, call)
            else:
                # the child may yet write the draft
                call.add_done_callback(partial(_remove_draft, draft))
            raise

    async def _delete_damaged(self, name: str, draft: Path) -> None:
        try:
            await self._storage.delete(name)
        except BaseException:
            _unlink(draft)
            raise

    async def _put(self, draft: Path, name: str) -> None:
        """Store the file, also where the image is cancelled at this moment, so that its name is known."""
        putting = asyncio.create_task(self._storage.put(draft, name))
        try:
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            await asyncio.wait({putting})
            putting.result()


def _internal(batch_id: int, seq: int, error: Exception) -> Outcome:
    message = "an internal error of the service, not of the image; the server's log has the details"
    fault = Fault(code=ErrorCode.INTERNAL, message=message)
    if lacking := shortage(error):
        fault = Fault.of(OutOfResources(lacking))
    return Outcome(batch_id=batch_id, seq=seq, attempts=0, fault=fault)


def _remove_draft(draft: Path, call: asyncio.Future[CompressResult]) -> None:
    if not call.cancelled():
        call.exception()  # nothing else asks for it
    _unlink(draft)


def _unlink(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("cannot remove %s: %s", draft, error.strerror)
