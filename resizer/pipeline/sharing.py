"""Let images of the same URL share one task, at the same time or shortly after each other."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from resizer.database import is_fresh, ran_beside
from resizer.engine.base import Engine
from resizer.errors import ErrorCode
from resizer.metrics import Metrics
from resizer.models import CachedResult, Outcome, Recipe, Task
from resizer.pipeline.image_cursor import Feed

#: outcomes remembered; what is older the database knows, but a page of images was read before it did
MEMORY = 5000
#: ends of batches remembered, by which it is told who ran beside whom
ENDS = 10_000

Key = tuple[str, Recipe]


@dataclass(eq=False, slots=True)
class _Flight:
    """A task under way, and how many want its outcome."""

    task: asyncio.Task[Outcome] = field(init=False)
    #: loop time
    begun: float
    users: int = 0
    is_fetched: bool = False
    #: who wants to know that it is fetched
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def fetched(self) -> None:
        self.is_fetched = True
        for listener in self.listeners:
            listener()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recent:
    outcome: Outcome
    #: loop time
    at: float = field(default_factory=lambda: asyncio.get_running_loop().time())


class Sharing:
    """Hands tasks to the engine, each URL once for all who want it with the same recipe.

    `unclaimed` is told of an outcome that nobody waited for any more.
    """

    def __init__(self, engine: Engine, metrics: Metrics, *, unclaimed: Callable[[Outcome], None]) -> None:
        self._engine = engine
        self._metrics = metrics
        self._unclaimed = unclaimed
        self._flights: dict[Key, _Flight] = {}
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._recent: OrderedDict[Key, _Recent] = OrderedDict()
        #: when batches ended, in seconds since the epoch
        self._ends: OrderedDict[int, float] = OrderedDict()

    async def aclose(self) -> None:
        """Give up whatever is under way; who waited for it has been cancelled before."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ended(self, batch_id: int, at: float) -> None:
        """Note that a batch has ended then (seconds since the epoch), or was deleted."""
        self._ends[batch_id] = at
        if len(self._ends) > ENDS:
            self._ends.popitem(last=False)

    async def run(
        self, task: Task, feed: Feed, *, fetched: Callable[[], None] = lambda: None
    ) -> tuple[Outcome | None, float]:
        """Return what became of the task, None where its batch is given up, and the loop time of its begin.

        That may lie before this call, where another has begun it. `fetched` is called when the image's host
        is done with, where that is known before.
        """
        key = (task.url, task.recipe)
        recent = self._recent.get(key)
        if recent is not None and self._failed_here(recent, feed):
            self._metrics.image_reused("shared")
            return _of(recent.outcome, task), recent.at
        flight = self._flights.get(key)
        if flight is not None:
            self._metrics.image_reused("shared")
        else:
            known = _known(recent.outcome) if recent is not None and self._is_fresh(recent, feed) else None
            task = replace(task, known=known) if known else task
            flight = self._start(key, task)
        flight.users += 1
        if flight.is_fetched:
            fetched()
        else:
            flight.listeners.append(fetched)
        try:
            # unlike awaiting it, this leaves the task alone when one of those who wait is cancelled
            either: set[asyncio.Future[Any]] = {flight.task, feed.closed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return _of(flight.task.result(), task) if flight.task.done() else None, flight.begun
        finally:
            flight.users -= 1
            if not flight.users and not flight.task.done():
                self._drop(key, flight)
                flight.task.cancel()

    def _start(self, key: Key, task: Task) -> _Flight:
        flight = _Flight(begun=asyncio.get_running_loop().time())
        flight.task = asyncio.create_task(self._engine.run(task, fetched=flight.fetched))
        self._flights[key] = flight
        self._tasks.add(flight.task)

        def ended(ended: asyncio.Task[Outcome]) -> None:
            self._tasks.discard(ended)
            self._drop(key, flight)
            if ended.cancelled() or ended.exception() is not None:
                return
            if flight.users:
                self._remember(key, ended.result())
            else:
                self._unclaimed(ended.result())

        flight.task.add_done_callback(ended)
        return flight

    def _drop(self, key: Key, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _remember(self, key: Key, outcome: Outcome) -> None:
        self._recent[key] = _Recent(outcome=outcome)
        self._recent.move_to_end(key)
        if len(self._recent) > MEMORY:
            self._recent.popitem(last=False)

    def _is_fresh(self, recent: _Recent, feed: Feed) -> bool:
        source, batch_id = recent.outcome.source, recent.outcome.batch_id
        if source is None or feed.batch is None:
            return False
        beside = batch_id == feed.batch_id or ran_beside(feed.batch, self._ends.get(batch_id))
        return is_fresh(source, feed.batch, beside=beside)

    def _failed_here(self, recent: _Recent, feed: Feed) -> bool:
        """Tell whether the URL has failed in this run of the batch; a retry is another run."""
        fault = recent.outcome.fault
        return (
            fault is not None
            and fault.code is not ErrorCode.STORAGE  # which tells nothing of the URL
            and recent.outcome.batch_id == feed.batch_id
            and recent.at >= feed.opened_at
        )


def _known(outcome: Outcome) -> CachedResult | None:
    if outcome.compressed is None or outcome.source is None:
        return None
    return CachedResult(source=outcome.source, compressed=outcome.compressed, fresh=True)


def _of(outcome: Outcome, task: Task) -> Outcome:
    if (outcome.batch_id, outcome.seq) == (task.batch_id, task.seq):
        return outcome
    return replace(outcome, batch_id=task.batch_id, seq=task.seq)
