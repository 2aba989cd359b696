"""A scheduler as the service builds it, for an engine that a test controls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outcomes import done, failed
from resizer.config import QueueSettings
from resizer.database import Database
from resizer.engine.base import Progress
from resizer.events import Events, RequestFinished
from resizer.fetch.hosts import HostLimits
from resizer.metrics import Metrics
from resizer.models import Outcome, Task
from resizer.pipeline.image import ImagePipeline
from resizer.pipeline.scheduler import Scheduler
from resizer.pipeline.shared_tasks import SharedTasks
from resizer.storage.claims import FileClaims
from resizer.support.in_flight import InFlight

PATIENCE = 20.0  # seconds; only a fault waits so long


class Bench:
    """An engine whose images are through when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Task] = []
        #: hosts whose images wait
        self.gates: dict[str, asyncio.Event] = {}
        #: places in a batch at which the engine itself is at fault
        self.faults: set[int] = set()
        #: places in a batch of images that fail
        self.failing: set[int] = set()
        #: what is raised where it is at fault
        self.fault: Exception = RuntimeError("a fault of ours")
        #: cleared while it has all that it can compress
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.workers = 0
        #: stem of the file that each image claims
        self.claimed = ""
        #: where it is set, images are fetched at once and wait for it
        self.compressing: asyncio.Event | None = None
        self._changed = asyncio.Condition()

    async def room(self) -> None:
        await self.has_room.wait()

    async def run(self, task: Task, progress: Progress) -> Outcome:
        async with self._changed:
            self.begun.append(task)
            self._changed.notify_all()
        if self.claimed:
            await progress.claim(self.claimed)
        gate = self.gates.get(task.url.split("/")[2])
        if self.compressing is not None:
            progress.fetched()
            await self.compressing.wait()
        if gate is not None:
            await gate.wait()
        if task.seq in self.faults:
            raise self.fault
        if task.seq in self.failing:
            return failed(task.batch_id, task.seq)
        return done(task.batch_id, task.seq)

    async def check(self) -> None:
        """Nothing is ever wrong with it."""

    async def until(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.begun) >= count)


class Ends:
    """Batches that have ended, to be waited for."""

    def __init__(self, events: Events) -> None:
        self.order: list[int] = []
        self._more = asyncio.Event()
        events.subscribe(RequestFinished, self._ended)

    def _ended(self, event: RequestFinished) -> None:
        self.order.append(event.batch.id)
        self._more.set()

    async def until(self, count: int) -> None:
        while len(self.order) < count:
            self._more.clear()
            await self._more.wait()


@asynccontextmanager
async def scheduling(
    database: Database,
    bench: Bench,
    *,
    workers: int = 4,
    grace: float = 5,
    per_host: int = 2,
    claims: FileClaims | None = None,
) -> AsyncIterator[Scheduler]:
    """Schedule as the service does."""
    settings = QueueSettings(workers=workers, shutdown_grace=grace)
    bench.workers = settings.fetchers
    hosts = HostLimits(per_host=per_host, most_in_doubt=settings.fetchers - workers)
    async with SharedTasks(bench, claims or FileClaims(), Events(), Metrics()) as shared:
        images = ImagePipeline(database, shared, hosts, metrics=Metrics())
        async with Scheduler(
            database, bench, images, hosts, settings, in_flight=InFlight(), revalidate=True
        ) as scheduler:
            yield scheduler
