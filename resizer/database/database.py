"""Batches and images in SQLite: rows in, models out."""

import asyncio
import json
import logging
import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from resizer.database.cached_results import CachedResults
from resizer.database.deliveries import Deliveries
from resizer.database.imports import SUM_PENDING, Intake, NewBatch, check_space, find_by_key
from resizer.database.migrations import MIGRATIONS, migrate
from resizer.database.outcomes import Outcomes, WebhookEvents
from resizer.database.reader import DAMAGED, Reader, reason_of
from resizer.database.removal import Removal
from resizer.database.rows import (
    BATCH_COLUMNS,
    IMAGE_COLUMNS,
    batch_from,
    image_from,
)
from resizer.errors import DatabaseFailure, DatabaseUnusable, disk_fault
from resizer.events import Events, FilesUnused, RequestFinished, RequestsChanged
from resizer.metrics import Metrics
from resizer.models import Batch, BatchStatus, Image, ImageStatus, Outcome, Recipe, Task
from resizer.support.atomic_file import make_folder
from resizer.support.in_flight import InFlight

logger = logging.getLogger(__name__)

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit is on disk
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",  # milliseconds; a backup or an SQLite tool may hold the file for a moment
    # bytes that the journal keeps of the disk when it grew while it could not be brought into the file
    "PRAGMA journal_size_limit = 33554432",
)
#: makes a start 0.2 s longer for 600,000 images, 2 s from a cold disk; damage is met before it is built on
LOOK_FOR_DAMAGE = "PRAGMA quick_check(1)"
#: bytes; a larger file is not looked through, as a start must not take ever longer
MOST_LOOKED_THROUGH = 256 * 2**20
#: no row of SQLite's has a higher one
MAX_ID = 2**63 - 1
#: products read at once for a result, and the number of their images at which a page ends
RESULT_PAGE = 500
RESULT_IMAGES = 1000

SELECT_BATCH = f"SELECT {BATCH_COLUMNS} FROM batches WHERE request_id = ? AND ready"
SELECT_BATCH_BY_ID = f"SELECT {BATCH_COLUMNS} FROM batches WHERE id = ? AND ready"
SELECT_LATEST_BY_DIGEST = f"""
    SELECT {BATCH_COLUMNS} FROM batches WHERE digest = ? AND ready ORDER BY id DESC LIMIT 1
"""
SELECT_UNFINISHED = f"""
    SELECT {BATCH_COLUMNS} FROM batches WHERE finished_at IS NULL AND ready AND id > ? ORDER BY id LIMIT ?
"""
SELECT_NEWEST = f"""
    SELECT {BATCH_COLUMNS} FROM batches
    WHERE ready AND id < ? ORDER BY id DESC LIMIT ?
"""
SELECT_NEWEST_WITH_STATUS = f"""
    SELECT {BATCH_COLUMNS} FROM batches
    WHERE ready AND status = ? AND id < ? ORDER BY id DESC LIMIT ?
"""
COUNT_BY_STATUS = "SELECT status, count(*) FROM batches WHERE ready GROUP BY status"
SELECT_COLUMNS = "SELECT columns FROM batches WHERE id = ?"
SELECT_PRODUCTS = """
    SELECT ordinal, cells, first_image, images FROM products
    WHERE batch_id = ? AND ordinal > ? ORDER BY ordinal LIMIT ?
"""
SELECT_IMAGES_BETWEEN = f"""
    SELECT {IMAGE_COLUMNS} FROM images i JOIN products p USING (batch_id, ordinal)
    WHERE i.batch_id = ? AND i.seq >= ? AND i.seq < ? ORDER BY i.seq
"""
SELECT_IMAGES = f"""
    SELECT {IMAGE_COLUMNS} FROM images i JOIN products p USING (batch_id, ordinal)
    WHERE i.batch_id = ? AND i.seq > ? AND (? IS NULL OR i.status = ?) ORDER BY i.seq LIMIT ?
"""
#: the status in full, so that its index serves: who asks for the few that failed need not wait for all others
SELECT_FAILED_IMAGES = f"""
    SELECT {IMAGE_COLUMNS} FROM images i JOIN products p USING (batch_id, ordinal)
    WHERE i.batch_id = ? AND i.seq > ? AND i.status = 'failed' ORDER BY i.seq LIMIT ?
"""
SELECT_WAITING = """
    SELECT seq, url, host FROM images
    WHERE batch_id = ? AND seq > ? AND status = 'pending'
        AND host NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?
"""
SELECT_WAITING_OF_HOST = """
    SELECT seq, url, host FROM images INDEXED BY images_waiting
    WHERE batch_id = ? AND host = ? AND seq > ? AND status = 'pending' ORDER BY seq LIMIT ?
"""
START_BATCH = """
    UPDATE batches SET status = 'processing', started_at = coalesce(started_at, ?)
    WHERE id = ? AND status = 'pending'
"""
#: the schema's number stands on the first page, which is written even where it stays the same
WRITE_NOTHING = f"PRAGMA user_version = {len(MIGRATIONS)}"
#: what a crash cut off on its way in may be a million rows: it goes in steps, as what is deleted does
FORGET_UNREADY = "UPDATE batches SET forgotten = 1 WHERE NOT ready AND NOT forgotten"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRow:
    """One product of a result."""

    #: as they came; empty ones at the end are left out
    cells: tuple[str, ...]
    images: tuple[Image, ...]


#: device and number of a file
Identity = tuple[int, int]


class Database:
    """All that is kept; opened by `open_database`."""

    def __init__(
        self,
        reader: Reader,
        outcomes: Outcomes,
        *,
        path: Path,
        identity: Identity,
    ) -> None:
        self._path = path
        self._identity = identity
        self._reader = reader
        self.outcomes = outcomes
        self.writer = outcomes.writer
        self.deliveries = Deliveries(reader, self.writer)
        self.cached_results = CachedResults(reader)
        self.removal = Removal(reader, outcomes)

    async def batch(self, request_id: str) -> Batch | None:
        return await self._one_batch(SELECT_BATCH, request_id)

    async def batch_by_id(self, batch_id: int) -> Batch | None:
        return await self._one_batch(SELECT_BATCH_BY_ID, batch_id)

    async def latest_with_digest(self, digest: str) -> Batch | None:
        return await self._one_batch(SELECT_LATEST_BY_DIGEST, digest)

    async def batch_with_key(self, key: str, digest: str) -> Batch | None:
        """Return the batch that this Idempotency-Key made. Raises `IdempotencyConflict` on other content."""
        return await self._reader.run(lambda connection: find_by_key(connection, key, digest, time.time()))

    async def unfinished(self, *, after: int = 0, limit: int = 100) -> list[Batch]:
        """Return batches without a final status, oldest first."""
        return [batch_from(row) for row in await self._reader.fetch(SELECT_UNFINISHED, (after, limit))]

    async def newest(
        self, *, before: int | None = None, limit: int, status: BatchStatus | None = None
    ) -> list[Batch]:
        """Return batches with a lower id than `before`, newest first."""
        end = MAX_ID if before is None else before
        if status is None:
            rows = await self._reader.fetch(SELECT_NEWEST, (end, limit))
        else:
            rows = await self._reader.fetch(SELECT_NEWEST_WITH_STATUS, (status, end, limit))
        return [batch_from(row) for row in rows]

    async def check(self) -> None:
        """Do what every upload needs, but change nothing. Raises `DatabaseFailure`, `NoSpace`."""
        await self._check_for_upload()
        await self.pending_images()
        await self.writer.run(lambda connection: connection.execute(WRITE_NOTHING))

    async def check_space(self) -> None:
        """Raise `NoSpace` where uploads are not taken any more; what was accepted before goes on."""
        await asyncio.to_thread(check_space, self._path.parent)

    async def _check_for_upload(self) -> None:
        """Raise `NoSpace`, or `DatabaseFailure` where the next start would not find what is written."""
        await asyncio.to_thread(self._check_space_and_file)

    def _check_space_and_file(self) -> None:
        check_space(self._path.parent)
        # SQLite goes on writing to the file that it has open, wherever that is meanwhile
        try:
            found = _identity_of(self._path)
        except OSError:
            found = None
        if found != self._identity:
            raise DatabaseFailure(
                f"the database file {self._path} was moved, deleted or replaced while the service runs; "
                "put it back, or restart"
            )

    async def count_by_status(self) -> Mapping[BatchStatus, int]:
        """Return how many batches stand where."""
        return {BatchStatus(status): count for status, count in await self._reader.fetch(COUNT_BY_STATUS)}

    async def pending_images(self) -> int:
        """Return how many images wait, of all batches."""
        (row,) = await self._reader.fetch(SUM_PENDING)
        return int(row[0])

    def intake(self, new: NewBatch, *, max_pending: int) -> Intake:
        """Begin to write a batch, after which no more than `max_pending` images may wait in all."""
        return Intake(self.writer, new, check=self._check_for_upload, max_pending=max_pending)

    async def start(self, batch_id: int) -> None:
        """Note that the first image of a batch has been taken."""

        async def start(connection: aiosqlite.Connection) -> None:
            await connection.execute(START_BATCH, (time.time(), batch_id))

        await self.writer.run(start)

    def expect(self, in_flight: Callable[[], int]) -> None:
        """Have it asked how many outcomes are still to come, by which it is told what a commit waits for."""
        self.outcomes.writer.in_flight = in_flight

    async def record(self, outcome: Outcome, *, begun: float = math.inf) -> None:
        """Record what became of an image by a task that was begun then, in loop time.

        An image that is not pending any more (cancelled meanwhile) is left as it is. Raises `FileRemoved`
        where its file was removed meanwhile, so that the task has to be done again.
        """
        if self.removal.is_doubtful(begun):
            await self.outcomes.settle_alone(outcome, self.removal.check)
        else:
            await self.outcomes.record(outcome)

    async def waiting(
        self, batch_id: int, recipe: Recipe, *, after: int, limit: int, without_hosts: Collection[str] = ()
    ) -> list[tuple[str, Task]]:
        """Return pending images behind `after` in the order of the CSV, each with its host."""
        values = (batch_id, after, json.dumps([*without_hosts]), limit)
        rows = await self._reader.fetch(SELECT_WAITING, values)
        return [_task(batch_id, recipe, row) for row in rows]

    async def waiting_of_host(
        self, batch_id: int, recipe: Recipe, host: str, *, after: int, limit: int
    ) -> list[tuple[str, Task]]:
        rows = await self._reader.fetch(SELECT_WAITING_OF_HOST, (batch_id, host, after, limit))
        return [_task(batch_id, recipe, row) for row in rows]

    async def images(
        self, batch_id: int, *, after: int = -1, limit: int, status: ImageStatus | None = None
    ) -> list[Image]:
        """Return images behind the one numbered `after`, in the order of the CSV."""
        if status is ImageStatus.FAILED:
            rows = await self._reader.fetch(SELECT_FAILED_IMAGES, (batch_id, after, limit))
        else:
            rows = await self._reader.fetch(SELECT_IMAGES, (batch_id, after, status, status, limit))
        return [image_from(row) for row in rows]

    async def columns(self, batch_id: int) -> tuple[str, ...]:
        """Return the CSV's header."""
        (row,) = await self._reader.fetch(SELECT_COLUMNS, (batch_id,))
        return tuple(json.loads(row["columns"]))

    async def result(self, batch_id: int) -> AsyncIterator[ResultRow]:
        """Yield the products of a batch in the order of the CSV, a page of rows in memory at a time."""
        last = -1
        while True:
            rows = await self._reader.fetch(SELECT_PRODUCTS, (batch_id, last, RESULT_PAGE))
            products = _up_to(RESULT_IMAGES, rows)
            if not products:
                return
            last = products[-1]["ordinal"]
            first_image = products[0]["first_image"]
            end = products[-1]["first_image"] + products[-1]["images"]
            found = await self._reader.fetch(SELECT_IMAGES_BETWEEN, (batch_id, first_image, end))
            images = [image_from(row) for row in found]
            for product in products:
                start = product["first_image"] - first_image
                yield ResultRow(
                    cells=tuple(json.loads(product["cells"])),
                    images=tuple(images[start : start + product["images"]]),
                )

    async def _one_batch(self, statement: str, value: str | int) -> Batch | None:
        for row in await self._reader.fetch(statement, (value,)):
            return batch_from(row)
        return None


def _up_to(images: int, products: Iterable[sqlite3.Row]) -> list[sqlite3.Row]:
    """Return the first of these products, until they have so many images."""
    page: list[sqlite3.Row] = []
    for product in products:
        page.append(product)
        images -= product["images"]
        if images <= 0:
            break
    return page


def _task(batch_id: int, recipe: Recipe, row: sqlite3.Row) -> tuple[str, Task]:
    return row["host"], Task(batch_id=batch_id, seq=row["seq"], url=row["url"], recipe=recipe)


async def _look_for_damage(connection: aiosqlite.Connection, path: str) -> None:
    if (await asyncio.to_thread(os.stat, path)).st_size > MOST_LOOKED_THROUGH:
        logger.info("%s is too large to be looked through for damage at each start", path)
        return
    for (found,) in await connection.execute_fetchall(LOOK_FOR_DAMAGE):
        if found != "ok":
            raise DatabaseUnusable(path, f"{DAMAGED} (SQLite: {' '.join(found.split())})")


def _identity_of(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


@asynccontextmanager
async def open_database(
    path: Path,
    announce: WebhookEvents,
    *,
    events: Events | None = None,
    in_flight: InFlight | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Database]:
    """Open the database, made or migrated if need be. Raises `DatabaseUnusable`."""
    async with AsyncExitStack() as stack:
        try:
            await asyncio.to_thread(make_folder, path.parent)
            writing = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
            writing.row_factory = sqlite3.Row
            for pragma in PRAGMAS:
                await writing.execute(pragma)
            await _look_for_damage(writing, str(path))
            await migrate(writing, str(path))
            await writing.execute(FORGET_UNREADY)
            await Outcomes.prepare(writing)
            reader = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
            reader.row_factory = sqlite3.Row
            for pragma in (*PRAGMAS[2:], "PRAGMA query_only = ON"):
                await reader.execute(pragma)
            identity = await asyncio.to_thread(_identity_of, path)
        except OSError as error:
            raise DatabaseUnusable(str(path), disk_fault(error, path.parent)) from error
        except sqlite3.Error as error:
            raise DatabaseUnusable(str(path), reason_of(error)) from error
        outcomes = Outcomes(writing, announce, metrics or Metrics())
        database = Database(Reader(reader), outcomes, path=path, identity=identity)
        events, in_flight = events or Events(), in_flight or InFlight()
        database.writer.on_finished = lambda batch: events.publish(RequestFinished(batch))
        database.writer.on_changed = lambda ids: events.publish(RequestsChanged(frozenset(ids)))
        outcomes.on_unused = lambda: events.publish(FilesUnused())
        database.writer.in_flight = lambda: in_flight.images
        await stack.enter_async_context(database.writer)
        yield database
