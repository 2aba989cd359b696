"""Process each URL once for all images that want it with the same recipe, at once or shortly after."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from resizer.database import is_fresh, ran_beside
from resizer.engine.base import Engine
from resizer.errors import ErrorCode
from resizer.events import Events, FilesUnused
from resizer.metrics import Metrics
from resizer.models import Batch, CachedResult, Outcome, Recipe, Task
from resizer.pipeline.image_cursor import ImageCursor
from resizer.storage.claims import FileClaims

#: outcomes remembered; older ones are in the database, but a page of images may have been read before
MEMORY = 5000
#: ends of batches remembered, by which it is known which ran beside each other
ENDS = 10_000

Key = tuple[str, Recipe]


class _SharedTask:
    """A task in flight, the images that wait for it, and the files that it has claimed."""

    def __init__(self, claims: FileClaims) -> None:
        self.task: asyncio.Task[Outcome]
        self.users = 0
        self._claims = claims
        self._claimed: list[str] = []
        self._is_fetched = False
        self._on_fetched: list[Callable[[], None]] = []

    def join(self, on_fetched: Callable[[], None]) -> None:
        self.users += 1
        if self._is_fetched:
            on_fetched()
        else:
            self._on_fetched.append(on_fetched)

    def fetched(self) -> None:
        self._is_fetched = True
        for notify in self._on_fetched:
            notify()

    async def claim(self, stem: str) -> None:
        await self._claims.claim(stem)
        self._claimed.append(stem)

    def release_if_over(self) -> None:
        """Release its files once it has ended and every image's outcome is recorded."""
        if not self.users and self.task.done():
            while self._claimed:
                self._claims.release(self._claimed.pop())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recent:
    outcome: Outcome
    #: loop time
    at: float = field(default_factory=lambda: asyncio.get_running_loop().time())


class SharedTasks:
    """Hands tasks to the engine; the file of an outcome that no image waits for is reported as unused."""

    def __init__(self, engine: Engine, claims: FileClaims, events: Events, metrics: Metrics) -> None:
        self._engine = engine
        self._claims = claims
        self._events = events
        self._metrics = metrics
        self._shared: dict[Key, _SharedTask] = {}
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._recent: OrderedDict[Key, _Recent] = OrderedDict()
        #: when batches ended, in seconds since the epoch
        self._ends: OrderedDict[int, float] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel tasks in flight; the images that waited for them were cancelled before."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ended(self, batch: Batch) -> None:
        """Note when a batch ended; one that was deleted before ends now."""
        self._ends[batch.id] = batch.finished_at or time.time()
        if len(self._ends) > ENDS:
            self._ends.popitem(last=False)

    @asynccontextmanager
    async def outcome_of(
        self, task: Task, cursor: ImageCursor, *, on_fetched: Callable[[], None]
    ) -> AsyncIterator[Outcome | None]:
        """Yield the task's outcome, None where the cursor was closed; its file stays claimed within.

        `on_fetched` is called when the image's host has sent it, where that is known before the outcome.
        """
        key = (task.url, task.recipe)
        recent = self._recent.get(key)
        if recent is not None and self._failed_here(recent, cursor):
            self._metrics.image_reused("shared")
            yield _of(recent.outcome, task)
            return
        shared = self._shared.get(key)
        if shared is not None:
            self._metrics.image_reused("shared")
        else:
            known = _known(recent.outcome) if recent is not None and self._is_fresh(recent, cursor) else None
            shared = self._start(key, replace(task, known=known) if known else task)
        shared.join(on_fetched)
        try:
            # unlike awaiting it, this leaves the task alone when one of its images is cancelled
            await asyncio.wait((shared.task, cursor.closed), return_when=asyncio.FIRST_COMPLETED)
            yield _of(shared.task.result(), task) if shared.task.done() else None
        finally:
            shared.users -= 1
            if not shared.users and not shared.task.done():
                self._drop(key, shared)
                shared.task.cancel()
            shared.release_if_over()

    def _start(self, key: Key, task: Task) -> _SharedTask:
        shared = _SharedTask(self._claims)
        shared.task = asyncio.create_task(self._engine.run(task, shared))
        self._shared[key] = shared
        self._tasks.add(shared.task)

        def ended(ended: asyncio.Task[Outcome]) -> None:
            self._tasks.discard(ended)
            self._drop(key, shared)
            if not ended.cancelled() and ended.exception() is None:
                self._keep(key, ended.result(), wanted=shared.users > 0)
            shared.release_if_over()

        shared.task.add_done_callback(ended)
        return shared

    def _drop(self, key: Key, shared: _SharedTask) -> None:
        if self._shared.get(key) is shared:
            del self._shared[key]

    def _keep(self, key: Key, outcome: Outcome, *, wanted: bool) -> None:
        if not wanted:
            if outcome.compressed is not None:
                self._events.publish(FilesUnused((outcome.compressed.filename,)))
            return
        self._recent[key] = _Recent(outcome=outcome)
        self._recent.move_to_end(key)
        if len(self._recent) > MEMORY:
            self._recent.popitem(last=False)

    def _is_fresh(self, recent: _Recent, cursor: ImageCursor) -> bool:
        source, batch_id = recent.outcome.source, recent.outcome.batch_id
        if source is None or cursor.batch is None:
            return False
        beside = batch_id == cursor.batch_id or ran_beside(cursor.batch, self._ends.get(batch_id))
        return is_fresh(source, cursor.batch, beside=beside)

    def _failed_here(self, recent: _Recent, cursor: ImageCursor) -> bool:
        """Return whether the URL has failed in this run of the batch; a retry is another run."""
        fault = recent.outcome.fault
        return (
            fault is not None
            and fault.code is not ErrorCode.STORAGE  # which says nothing of the URL
            and recent.outcome.batch_id == cursor.batch_id
            and recent.at >= cursor.opened_at
        )


def _known(outcome: Outcome) -> CachedResult | None:
    if outcome.compressed is None or outcome.source is None:
        return None
    return CachedResult(source=outcome.source, compressed=outcome.compressed, fresh=True)


def _of(outcome: Outcome, task: Task) -> Outcome:
    if (outcome.batch_id, outcome.seq) == (task.batch_id, task.seq):
        return outcome
    return replace(outcome, batch_id=task.batch_id, seq=task.seq)
