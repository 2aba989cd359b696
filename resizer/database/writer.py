"""The one writer: operations that arrive together share a commit."""

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import aiosqlite

from resizer.database.reader import translated
from resizer.events import Event, Events
from resizer.metrics import Metrics
from resizer.support.coalescer import Coalescer
from resizer.support.failpoints import Point, reach
from resizer.support.in_flight import InFlight

logger = logging.getLogger(__name__)

#: operations committed together at most; keeps a commit below some tens of milliseconds
GROUP = 256

T = TypeVar("T")
Operation = Callable[[aiosqlite.Connection], Awaitable[T]]


class _Job(NamedTuple):
    operation: Operation[Any]
    outcomes: int


class Writer:
    """Runs operations on the writing connection in the order of their arrival, each of them once.

    Coroutines that share an aiosqlite connection share its transaction, so all writing goes through here.
    An operation that fails is undone alone; a commit that fails fails all operations in it.
    """

    def __init__(
        self, connection: aiosqlite.Connection, events: Events, in_flight: InFlight, metrics: Metrics
    ) -> None:
        self._connection = connection
        self._events = events
        self._metrics = metrics
        #: events of the running transaction
        self._unpublished: list[Event] = []
        self._coalescer = Coalescer(self._commit, in_flight=in_flight, max_items=GROUP)

    async def aclose(self) -> None:
        """Run the operations that are left."""
        await self._coalescer.aclose()

    async def run(self, operation: Operation[T], *, outcomes: int = 0) -> T:
        """Run one operation, which may record outcomes; returns its result once it is on disk.

        Raises what the operation raises, with `DatabaseFailure` and `NoSpace` for errors of SQLite.
        """
        result: T = await self._coalescer.submit(_Job(operation, outcomes))
        return result

    async def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Run one statement; returns how many rows it changed, once they are on disk."""

        async def execute(connection: aiosqlite.Connection) -> int:
            return (await connection.execute(statement, values)).rowcount

        return await self.run(execute)

    def publish_after_commit(self, event: Event) -> None:
        """Publish an event of the running operation once that is on disk."""
        self._unpublished.append(event)

    async def _commit(self, jobs: Sequence[_Job]) -> Sequence[Any]:
        began = time.perf_counter()
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
            results = [await self._result_of(job.operation) for job in jobs]
            await self._connection.execute("COMMIT")
        except Exception as error:
            await self._roll_back(error)
            self._unpublished.clear()
            raise translated(error) from error
        self._metrics.committed(time.perf_counter() - began, sum(job.outcomes or 1 for job in jobs))
        if any(job.outcomes for job in jobs):
            reach(Point.OUTCOMES_COMMITTED)
        committed, self._unpublished = self._unpublished, []
        for event in committed:
            self._events.publish(event)
        return results

    async def _result_of(self, operation: Operation[Any]) -> Any:
        """Return the result of one operation, or its error once what it wrote is undone."""
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
            result = translated(error)
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
