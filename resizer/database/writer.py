"""One writer: what came together is committed together."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import aiosqlite

from resizer.database.reader import typed
from resizer.metrics import Metrics
from resizer.models import Batch, Outcome
from resizer.support.failpoints import Point, reach

logger = logging.getLogger(__name__)

#: operations committed together at most; keeps one commit below some tens of milliseconds
GROUP = 256
#: seconds for which an outcome waits for others, where as many are still to come
GATHER = 0.05
ENOUGH = 8  # outcomes that wait for no further ones, so that they do not hold up workers

T = TypeVar("T")
Operation = Callable[[aiosqlite.Connection], Awaitable[T]]


class Settle(Protocol):
    """Writes many outcomes in one go."""

    def __call__(self, connection: aiosqlite.Connection, outcomes: Sequence[Outcome]) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any] | Outcome
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """Runs operations on the writing connection in the order in which they come.

    Coroutines that share an aiosqlite connection share its transaction, so all writing goes through here.
    An operation that fails is undone by itself; a commit that fails fails all operations in it. An operation
    may be run twice, the first time undone: where another fails with which it came together.
    """

    def __init__(self, connection: aiosqlite.Connection, settle: Settle, metrics: Metrics) -> None:
        self._connection = connection
        self._settle = settle
        self._metrics = metrics
        #: told of each batch that has got its final status, once that is on disk
        self.on_finished: Callable[[Batch], None] | None = None
        #: told of the batches of which something has changed, once that is on disk
        self.on_changed: Callable[[Collection[int]], None] | None = None
        self._finished: list[Batch] = []
        self._changed: set[int] = set()
        #: called where what the running operations did is undone
        self._undoing: list[Callable[[], object]] = []
        #: tells how many outcomes are still to come, those that wait here among them
        self.in_flight: Callable[[], int] = lambda: 0
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        #: outcomes that wait for others
        self._settling: list[_Job] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="database writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
        await self._jobs.join()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def run(self, operation: Operation[T]) -> T:
        """Run one operation; returns its result once it is on disk, raises what it raised."""
        job = _Job(operation)
        self._release()
        self._jobs.put_nowait(job)
        result: T = await job.done
        return result

    def changes(self, *batch_ids: int) -> None:
        """Have it told, once the running operation is on disk, that these batches have changed."""
        self._changed.update(batch_ids)

    def finishes(self, batch: Batch) -> None:
        """Have it told, once the running operation is on disk, that this batch has its final status."""
        self._finished.append(batch)
        self.if_undone(self._finished.pop)

    def if_undone(self, undo: Callable[[], object]) -> None:
        """Have it called if the running operation is undone, alone or with all of its commit, last first."""
        self._undoing.append(undo)

    async def record(self, outcome: Outcome) -> None:
        """Record one outcome, together with others that wait; it is on disk when this returns.

        While more are to come than wait already, it waits for them, `GATHER` at most: a commit costs as much
        for one as for many.
        """
        job = _Job(outcome)
        self._settling.append(job)
        if len(self._settling) >= min(ENOUGH, self.in_flight() / 2):
            self._release()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER, self._release)
        await job.done

    def _release(self) -> None:
        """Let the outcomes that wait for others be written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for job in self._settling:
            self._jobs.put_nowait(job)
        self._settling.clear()

    async def _run(self) -> None:
        while True:
            jobs = [await self._jobs.get()]
            while len(jobs) < GROUP and not self._jobs.empty():
                jobs.append(self._jobs.get_nowait())
            try:
                await self._commit(jobs)
            finally:
                for _ in jobs:
                    self._jobs.task_done()

    async def _commit(self, jobs: Sequence[_Job]) -> None:
        results: list[tuple[_Job, Any]] = []
        settling = any(isinstance(job.operation, Outcome) for job in jobs)
        began = time.perf_counter()
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
            results = await self._run_all(jobs)
            await self._connection.execute("COMMIT")
            self._metrics.committed(time.perf_counter() - began, len(jobs))
            if settling:
                reach(Point.OUTCOMES_COMMITTED)
        except Exception as error:  # noqa: BLE001 - every caller gets it, none is left waiting
            await self._undo(error)
            self._forget_undone()
            self._changed.clear()
            results = [(job, _Failed(error)) for job in jobs]
        for job, result in results:
            if job.done.done():  # its caller was cancelled
                continue
            if isinstance(result, _Failed):
                job.done.set_exception(typed(result.error))
            else:
                job.done.set_result(result)
        self._undoing.clear()
        self._tell()

    async def _run_all(self, jobs: Sequence[_Job]) -> list[tuple[_Job, Any]]:
        """Run them all without more ado; where one fails, which is rare, all again with savepoints."""
        settling = [job for job in jobs if isinstance(job.operation, Outcome)]
        outcomes = [job.operation for job in settling if isinstance(job.operation, Outcome)]
        others = [(job, job.operation) for job in jobs if not isinstance(job.operation, Outcome)]
        connection = self._connection
        try:
            if outcomes:
                await self._settle(connection, outcomes)
            results = [(job, None) for job in settling]
            return results + [(job, await operation(connection)) for job, operation in others]
        except Exception as error:
            if not connection.in_transaction:
                raise  # the fault ended the whole transaction (disk full, say): nothing is left to save
            fault = error
        await connection.execute("ROLLBACK")
        self._forget_undone()
        await connection.execute("BEGIN IMMEDIATE")
        if len(jobs) == 1:
            return [(jobs[0], _Failed(fault))]
        logger.debug("%d changes that came together are written one by one: %s", len(jobs), fault)
        results = await self._settle_apart(settling, outcomes) if outcomes else []
        return results + [(job, await self._one(operation)) for job, operation in others]

    async def _settle_apart(self, jobs: list[_Job], outcomes: list[Outcome]) -> list[tuple[_Job, Any]]:
        """Settle together still; where it is an outcome that cannot be written, each by itself."""
        together = await self._one(partial(self._settle, outcomes=outcomes))
        if not isinstance(together, _Failed):
            return [(job, None) for job in jobs]
        return [
            (job, await self._one(partial(self._settle, outcomes=[outcome])))
            for job, outcome in zip(jobs, outcomes, strict=True)
        ]

    def _forget_undone(self, *, since: int = 0) -> None:
        """Take back what operations that were undone have left in memory, from the one of this number on."""
        while len(self._undoing) > since:
            self._undoing.pop()()

    def _tell(self) -> None:
        finished, self._finished = self._finished, []
        changed, self._changed = self._changed, set()
        if changed and self.on_changed is not None:
            self.on_changed(changed)
        for batch in finished:
            if self.on_finished is not None:
                try:
                    self.on_finished(batch)
                except Exception:
                    logger.exception("the end of request %s could not be told", batch.request_id)

    async def _one(self, operation: Operation[Any]) -> Any:
        """Run one of several; one that fails is undone by itself."""
        connection = self._connection
        since = len(self._undoing)
        await connection.execute("SAVEPOINT operation")
        try:
            result = await operation(connection)
        except Exception as error:  # handed to its caller, and the others' work goes on
            if not connection.in_transaction:
                raise  # the fault ended the whole transaction (disk full, say): nothing is left to save
            await connection.execute("ROLLBACK TO operation")
            self._forget_undone(since=since)
            result = _Failed(error)
        await connection.execute("RELEASE operation")
        return result

    async def _undo(self, error: Exception) -> None:
        logger.warning("a commit failed: %s", error)
        try:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
        except sqlite3.Error as another:
            # the next BEGIN will fail in its turn, and say so to its callers
            logger.warning("nor could it be undone: %s", another)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception
