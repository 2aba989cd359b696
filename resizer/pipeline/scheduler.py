"""Worker coroutines that take batches in turn and hand their images to the engine."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Self

from resizer.config import FetchSettings, QueueSettings
from resizer.database import Database
from resizer.engine.base import Engine
from resizer.errors import DatabaseFailure, ErrorCode, NoSpace, OutOfResources, shortage
from resizer.metrics import Metrics
from resizer.models import Fault, Outcome, Task
from resizer.pipeline.hosts import Places, answered
from resizer.pipeline.image_cursor import Feed
from resizer.pipeline.sharing import Sharing
from resizer.support.in_flight import InFlight
from resizer.support.log_context import tied_to

logger = logging.getLogger(__name__)

#: batches worked on in turn; further ones wait on disk in the order in which they came
MOST_ACTIVE = 1000
#: seconds between tries to record an outcome while the database cannot be written: first and longest
RECORD_BACKOFF = (0.5, 30.0)
#: Seconds after which an image counts as slow: another worker stands in while the engine wants more. So slow
#: hosts are asked by more workers and fast ones by few, and those which hang do not keep all to themselves.
SLOW = 0.5
#: the same for an image that a host in doubt has yet to send, whatever the engine wants: a dead one holds its
#: own for minutes
SLOW_IN_DOUBT = 0.5
#: workers in all, as a multiple of queue.workers
MOST_WORKERS = 16


class Dispatcher:
    """Keeps `workers` images in flight, taking one image of each batch in turn.

    The queue holds batches, not images: a worker takes a batch, takes its next image, and puts the batch
    back before it works on the image. A batch whose hosts are all busy is put aside until one has room.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        settings: QueueSettings,
        *,
        fetch: FetchSettings,
        in_flight: InFlight | None = None,
        metrics: Metrics | None = None,
        unclaimed: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._revalidate = fetch.revalidate
        self._metrics = metrics or Metrics()
        self._in_flight_of_all = in_flight or InFlight()
        self._engine = engine
        self.sharing = Sharing(engine, self._metrics, unclaimed=unclaimed)
        self._places = Places(per_host=fetch.per_host, workers=settings.workers)
        self._queue: asyncio.Queue[Feed] = asyncio.Queue(MOST_ACTIVE)
        self._active: dict[int, Feed] = {}
        #: images of each batch that are with a worker
        self._in_flight: Counter[int] = Counter()
        #: active batches that have no image left to hand out
        self._exhausted: set[int] = set()
        #: active batches of which images were set back to pending, behind what is being read
        self._again: set[int] = set()
        #: ids of batches that wait on disk
        self._backlog: deque[int] = deque()
        #: batches put aside, by the hosts that they wait for; dicts, to keep the order
        self._stalled: dict[str, dict[Feed, None]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._processing: set[asyncio.Task[None]] = set()
        #: images that are slow
        self._slow = 0
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._add_workers()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Begin nothing new; let images in flight end within `queue.shutdown_grace`, then give them up."""
        self.stop_taking()
        if self._processing and self._settings.shutdown_grace:
            logger.info("waiting for %s images in flight", len(self._processing))
            await asyncio.wait(self._processing, timeout=self._settings.shutdown_grace)
        workers = [*self._workers]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await self.sharing.aclose()

    @property
    def in_flight(self) -> int:
        """How many images are with a worker."""
        return len(self._processing)

    @property
    def _wanted(self) -> int:
        """How many workers there are to be besides those whose image is slow."""
        return self._engine.workers(self._settings.workers)

    def _add_workers(self) -> None:
        while len(self._workers) - self._slow < self._wanted:
            self._add_worker()

    def _add_worker(self) -> None:
        with tied_to(None):  # a worker that stands in is begun by what another waits for
            worker = asyncio.create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    def stop_taking(self) -> None:
        """Begin no further image."""
        self._stopping = True
        for worker in self._workers - self._processing:
            worker.cancel()

    def begin(self, batch_id: int) -> None:
        """Work on a batch, now or when its turn comes.

        One that is worked on already is looked through once more at its end: until then its images in
        flight could not be told from those that wait again.
        """
        if batch_id in self._active:
            self._again.add(batch_id)
            return
        self._backlog.append(batch_id)
        self._activate()

    def end(self, batch_id: int) -> None:
        """Begin no further image of a batch, and give up those under way."""
        self._again.discard(batch_id)
        while batch_id in self._backlog:
            self._backlog.remove(batch_id)
        feed = self._active.get(batch_id)
        if feed is None:
            return
        feed.close()
        # where it was put aside nobody would come to see that it is at its end
        if any(feed in waiting for waiting in self._stalled.values()):
            self._take_from_stalled(feed)
            self._put_aside(feed)

    def _activate(self) -> None:
        while self._backlog and len(self._active) < MOST_ACTIVE:
            batch_id = self._backlog.popleft()
            if batch_id not in self._active:
                feed = Feed(self._database, self._places, batch_id, revalidate=self._revalidate)
                self._active[batch_id] = feed
                self._queue.put_nowait(feed)

    async def _work(self) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine runs in a task
        while not self._stopping and len(self._workers) - self._slow <= self._wanted:
            feed = await self._queue.get()
            taken = await self._take(feed)
            if taken is None:
                continue
            self._add_workers()
            self._queue.put_nowait(feed)  # its place is still free: no more than MOST_ACTIVE are about
            self._processing.add(me)
            try:
                with self._in_flight_of_all.one_more():
                    await self._process(feed, *taken)
            finally:
                self._processing.discard(me)
                self._in_flight[feed.batch_id] -= 1
                self._leave(feed.batch_id)
        # at once: others that look before this task is seen to be done would leave too
        self._workers.discard(me)

    async def _take(self, feed: Feed) -> tuple[str, Task] | None:
        try:
            taken = await feed.take()
        except (DatabaseFailure, NoSpace) as error:
            logger.warning("batch %s waits for the database: %s", feed.batch_id, error)
        except Exception:
            # a worker that ends would be missed by nobody, until there is none left
            logger.exception("the next image of batch %s cannot be told; trying again", feed.batch_id)
        else:
            if taken is None:
                self._put_aside(feed)
            else:
                self._in_flight[feed.batch_id] += 1
            return taken
        await asyncio.sleep(RECORD_BACKOFF[0])
        self._queue.put_nowait(feed)
        return None

    def _put_aside(self, feed: Feed) -> None:
        if feed.exhausted:
            self._exhausted.add(feed.batch_id)
            self._leave(feed.batch_id)
            # one that was closed has perhaps been woken for a place that it does not take
            for host in feed.busy_hosts:
                self._wake(host, all_in_doubt=False)
            return
        for host in feed.busy_hosts:
            self._stalled.setdefault(host, {})[feed] = None

    def _leave(self, batch_id: int) -> None:
        """Be done with a batch that has no image left to hand out and none in flight."""
        if batch_id not in self._exhausted or self._in_flight[batch_id]:
            return
        del self._in_flight[batch_id]
        self._exhausted.discard(batch_id)
        del self._active[batch_id]
        if batch_id in self._again:
            self._again.discard(batch_id)
            self._backlog.append(batch_id)
        self._activate()

    def _wake(self, host: str, *, all_in_doubt: bool) -> None:
        """Put back the batch that has waited longest for this host, or all where any host may have room."""
        if all_in_doubt:
            feeds = list(dict.fromkeys(feed for waiting in self._stalled.values() for feed in waiting))
            self._stalled.clear()
        else:
            feeds = [*self._stalled.get(host, {})][:1]
            for feed in feeds:
                self._take_from_stalled(feed)
        for feed in feeds:
            self._queue.put_nowait(feed)

    def _take_from_stalled(self, feed: Feed) -> None:
        for host in feed.busy_hosts:
            waiting = self._stalled.get(host, {})
            waiting.pop(feed, None)
            if not waiting:
                self._stalled.pop(host, None)

    async def _process(self, feed: Feed, host: str, task: Task) -> None:
        with tied_to(feed.batch.request_id if feed.batch else None):
            outcome, _ = await self._run_in_place(feed, host, task)
            if outcome is not None:
                await self._record(outcome)
                self._metrics.image_done(outcome.fault.code if outcome.fault else outcome.status)

    async def _run_in_place(self, feed: Feed, host: str, task: Task) -> tuple[Outcome | None, float]:
        """Return the outcome and the loop time at which it was begun.

        It keeps a place at the host until that has sent the image, or until its end.
        """
        outcome, begun = None, 0.0
        slow = left = False
        loop = asyncio.get_running_loop()
        in_doubt = self._places.in_doubt(host)
        seconds = SLOW_IN_DOUBT if in_doubt else SLOW

        def stand_in() -> None:
            nonlocal slow
            if self._stopping or len(self._workers) >= MOST_WORKERS * self._wanted:
                return
            if (left or not in_doubt) and not self._engine.wants_more:
                timers.append(loop.call_later(seconds, stand_in))
                return
            slow = True
            self._slow += 1
            self._add_worker()
            if not left:
                with self._room_made(host):
                    self._places.slow(host)

        def leave(*, host_answered: bool | None) -> None:
            nonlocal left
            if not left:
                left = True
                with self._room_made(host):
                    self._places.leave(host, answered=host_answered, slow=slow)

        timers = [loop.call_later(seconds, stand_in)]
        try:
            outcome, begun = await self._run(feed, task, fetched=partial(leave, host_answered=True))
        finally:
            timers[-1].cancel()
            self._slow -= slow
            leave(host_answered=None if outcome is None else answered(outcome))
        return outcome, begun

    @contextmanager
    def _room_made(self, host: str) -> Iterator[None]:
        """Wake who waits for what changes within: this host, or any host that was held back as in doubt."""
        was_full = self._places.doubt_is_full
        yield
        self._wake(host, all_in_doubt=was_full and not self._places.doubt_is_full)

    async def _run(
        self, feed: Feed, task: Task, *, fetched: Callable[[], None] = lambda: None
    ) -> tuple[Outcome | None, float]:
        began = asyncio.get_running_loop().time()
        try:
            return await self.sharing.run(task, feed, fetched=fetched)
        except Exception as error:
            # a fault of ours must not keep the batch from ever ending
            logger.exception("image %s of batch %s met a fault of the service", task.seq, task.batch_id)
            return _at_fault(task.batch_id, task.seq, error), began

    async def _record(self, outcome: Outcome) -> None:
        """Record the outcome, whatever it takes."""
        first, longest = RECORD_BACKOFF
        pause = first
        while True:
            try:
                await self._database.record(outcome)
            except (DatabaseFailure, NoSpace) as error:
                logger.error("an outcome cannot be recorded, trying again in %g s: %s", pause, error)  # noqa: TRY400
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
            except Exception as error:
                logger.exception("%r cannot be written", outcome)
                outcome = _at_fault(outcome.batch_id, outcome.seq, error)
                await asyncio.sleep(first)
            else:
                return


def _at_fault(batch_id: int, seq: int, error: Exception) -> Outcome:
    message = "a fault of the service, not of the image; the server's log has the details"
    fault = Fault(code=ErrorCode.COMPRESS_CRASH, message=message)
    if lacking := shortage(error):
        fault = Fault.of(OutOfResources(lacking))
    return Outcome(batch_id=batch_id, seq=seq, attempts=0, fault=fault)
