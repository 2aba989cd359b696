"""Decide which image is next: coroutines that take one image of each request in turn."""

import asyncio
import logging
from collections import deque
from functools import partial
from types import TracebackType
from typing import Self

from resizer.config import QueueSettings
from resizer.database import Database
from resizer.engine.base import Engine
from resizer.errors import DatabaseFailure, NoSpace
from resizer.fetch.hosts import HostLimits, RoomWait
from resizer.models import Task
from resizer.pipeline.image import ImagePipeline
from resizer.pipeline.image_cursor import ImageCursor
from resizer.support.in_flight import InFlight
from resizer.support.log_context import log_request_id

logger = logging.getLogger(__name__)

#: batches processed in turn; further ones wait on disk in the order in which they came
MOST_ACTIVE = 1000
#: seconds until the next image of a batch is read again where the database cannot be read
READ_PAUSE = 0.5


class Scheduler:
    """Keeps images in flight, taking one of each batch in turn.

    The queue holds batches, not images: a worker takes a batch, takes its next image, and puts the batch
    back before it processes the image. A batch whose hosts are all busy waits until one has room. There are
    as many workers as the engine has use for, most of which wait for a host; limits by host keep those that
    answer slowly or not at all from holding up the others.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        images: ImagePipeline,
        hosts: HostLimits,
        settings: QueueSettings,
        *,
        in_flight: InFlight,
        revalidate: bool,
    ) -> None:
        self._database = database
        self._engine = engine
        self._images = images
        self._hosts = hosts
        self._settings = settings
        self._in_flight = in_flight
        self._revalidate = revalidate
        self._queue: asyncio.Queue[ImageCursor] = asyncio.Queue(MOST_ACTIVE)
        #: ids of batches that wait on disk
        self._backlog: deque[int] = deque()
        #: by the batch's id; a batch that was ended is not among them
        self._active: dict[int, ImageCursor] = {}
        #: cursors that have images left or in flight, those of ended batches included
        self._open: set[ImageCursor] = set()
        #: open cursors without an image left to hand out
        self._exhausted: set[ImageCursor] = set()
        #: open cursors whose hosts are all busy
        self._stalled: dict[ImageCursor, RoomWait] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._processing: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._add_workers()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Start no further image; cancel images that take longer than `queue.shutdown_grace`."""
        self.stop()
        if self._processing and self._settings.shutdown_grace:
            logger.info("waiting for %s images in flight", len(self._processing))
            await asyncio.wait(self._processing, timeout=self._settings.shutdown_grace)
        workers = [*self._workers]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def stop(self) -> None:
        """Start no further image."""
        self._stopping = True
        for worker in self._workers - self._processing:
            worker.cancel()

    def begin(self, batch_id: int) -> None:
        """Process a batch, now or when its turn comes; one that is being processed is read once more."""
        cursor = self._active.get(batch_id)
        if cursor is None:
            self._backlog.append(batch_id)
            self._activate()
            return
        cursor.rewind()
        if cursor in self._exhausted or cursor in self._stalled:
            self._requeue(cursor)

    def end(self, batch_id: int) -> None:
        """Start no further image of a batch, and give up those in flight."""
        while batch_id in self._backlog:
            self._backlog.remove(batch_id)
        cursor = self._active.pop(batch_id, None)
        if cursor is not None:
            cursor.close()
            if cursor in self._stalled:
                self._requeue(cursor)

    def _activate(self) -> None:
        while self._backlog and len(self._open) < MOST_ACTIVE:
            batch_id = self._backlog.popleft()
            if batch_id not in self._active:
                cursor = ImageCursor(self._database, self._hosts, batch_id, revalidate=self._revalidate)
                self._active[batch_id] = cursor
                self._open.add(cursor)
                self._queue.put_nowait(cursor)

    def _add_workers(self) -> None:
        while len(self._workers) < self._engine.workers:
            with log_request_id(None):
                worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine runs in a task
        while not self._stopping:
            cursor = await self._queue.get()
            await self._engine.room()
            taken = await self._take(cursor)
            if taken is None:
                continue
            self._queue.put_nowait(cursor)
            self._add_workers()
            self._processing.add(me)
            try:
                with self._in_flight.one_more():
                    await self._images.process(cursor, *taken)
            finally:
                self._processing.discard(me)
                cursor.in_flight.discard(taken[1].seq)
                self._leave(cursor)

    async def _take(self, cursor: ImageCursor) -> tuple[str, Task] | None:
        """Take the next image; where there is none, see to it that the cursor is read again in time."""
        try:
            taken = await cursor.take()
        except (DatabaseFailure, NoSpace) as error:
            logger.warning(
                "cannot read the next image%s: %s; retrying in %g s", _of(cursor), error, READ_PAUSE
            )
        except Exception:
            # a worker that ended would never be replaced
            logger.exception("cannot read the next image%s; retrying in %g s", _of(cursor), READ_PAUSE)
        else:
            if taken is None:
                self._set_aside(cursor)
            return taken
        await asyncio.sleep(READ_PAUSE)
        self._queue.put_nowait(cursor)
        return None

    def _set_aside(self, cursor: ImageCursor) -> None:
        if cursor.exhausted:
            self._exhausted.add(cursor)
            self._leave(cursor)
            # room wakes one cursor at a time, which passes on what it leaves
            self._hosts.offer_all()
            return
        hosts = cursor.busy_hosts
        self._stalled[cursor] = self._hosts.when_room(hosts, partial(self._requeue, cursor))
        self._hosts.offer(hosts)  # a pause may have ended since it looked

    def _requeue(self, cursor: ImageCursor) -> None:
        """Put back a cursor that was set aside."""
        self._exhausted.discard(cursor)
        wait = self._stalled.pop(cursor, None)
        if wait is not None:
            self._hosts.forget(wait)
        self._queue.put_nowait(cursor)

    def _leave(self, cursor: ImageCursor) -> None:
        """Forget a batch that has no image left to hand out and none in flight."""
        if cursor not in self._exhausted or cursor.in_flight:
            return
        if cursor.read_again and not cursor.closed.done():
            cursor.rewind()
            self._requeue(cursor)
            return
        self._exhausted.discard(cursor)
        self._open.discard(cursor)
        if self._active.get(cursor.batch_id) is cursor:
            del self._active[cursor.batch_id]
        self._activate()


def _of(cursor: ImageCursor) -> str:
    return f" of request {cursor.batch.request_id}" if cursor.batch else ""
