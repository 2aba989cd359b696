"""The one writer: operations that arrive together share a commit."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import aiosqlite

from resizer.database.reader import translated
from resizer.events import Event, Events
from resizer.metrics import Metrics

logger = logging.getLogger(__name__)

#: operations committed together at most; keeps a commit below some tens of milliseconds
GROUP = 256

T = TypeVar("T")
Operation = Callable[[aiosqlite.Connection], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    changes: int
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class Writer:
    """Runs operations on the writing connection in the order of their arrival, each of them once.

    Coroutines that share an aiosqlite connection share its transaction, so all writing goes through here.
    An operation that fails is undone alone; a commit that fails fails all operations in it.
    """

    def __init__(self, connection: aiosqlite.Connection, events: Events, metrics: Metrics) -> None:
        self._connection = connection
        self._events = events
        self._metrics = metrics
        #: events of the running transaction
        self._unpublished: list[Event] = []
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="database writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._jobs.join()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def run(self, operation: Operation[T], *, changes: int = 1) -> T:
        """Run one operation; returns its result once it is on disk, raises what it raised.

        Metrics count it as so many `changes`.
        """
        job = _Job(operation, changes)
        self._jobs.put_nowait(job)
        result: T = await job.done
        return result

    async def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Run one statement; returns how many rows it changed, once they are on disk."""

        async def execute(connection: aiosqlite.Connection) -> int:
            return (await connection.execute(statement, values)).rowcount

        return await self.run(execute)

    def publish_after_commit(self, event: Event) -> None:
        """Publish an event of the running operation once that is on disk."""
        self._unpublished.append(event)

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
        began = time.perf_counter()
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
            results = [await self._result_of(job.operation) for job in jobs]
            await self._connection.execute("COMMIT")
            self._metrics.committed(time.perf_counter() - began, sum(job.changes for job in jobs))
        except Exception as error:  # noqa: BLE001 - every caller gets it, none is left waiting
            await self._roll_back(error)
            self._unpublished.clear()
            results = [_Failed(error)] * len(jobs)
        for job, result in zip(jobs, results, strict=True):
            if job.done.done():  # its caller was cancelled
                continue
            if isinstance(result, _Failed):
                job.done.set_exception(translated(result.error))
            else:
                job.done.set_result(result)
        committed, self._unpublished = self._unpublished, []
        for event in committed:
            self._events.publish(event)

    async def _result_of(self, operation: Operation[Any]) -> Any:
        """Run one operation; where it fails, undo what it wrote and keep the others' work."""
        connection = self._connection
        events = len(self._unpublished)
        await connection.execute("SAVEPOINT operation")
        try:
            result = await operation(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite has rolled the whole transaction back, because the disk is full, say
            await connection.execute("ROLLBACK TO operation")
            del self._unpublished[events:]
            result = _Failed(error)
        await connection.execute("RELEASE operation")
        return result

    async def _roll_back(self, error: Exception) -> None:
        logger.warning("cannot commit: %s; rolling back", error)
        try:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
        except sqlite3.Error as another:
            # the next BEGIN fails too, and its callers get the error
            logger.warning("cannot roll back: %s; the next commit fails too", another)
