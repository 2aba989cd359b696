"""Open the database, and give each room of the service what it asks of it."""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import aiosqlite

from resizer.database.batch_queries import BatchQueries
from resizer.database.cached_results import CachedResults
from resizer.database.database_file import DatabaseFile
from resizer.database.deliveries import Deliveries
from resizer.database.image_queries import ImageQueries
from resizer.database.imports import Intake, NewBatch
from resizer.database.migrations import MIGRATIONS, migrate
from resizer.database.outcomes import Outcomes, WebhookEvents
from resizer.database.reader import DAMAGED, Reader, reason_of
from resizer.database.removal import Removal
from resizer.database.writer import Writer
from resizer.errors import DatabaseUnusable, disk_fault
from resizer.events import Events
from resizer.metrics import Metrics
from resizer.models import Outcome
from resizer.naming import key_of_url
from resizer.support.atomic_file import make_folder
from resizer.support.in_flight import InFlight

logger = logging.getLogger(__name__)

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit is on disk
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",  # milliseconds; a backup or an SQLite tool may hold the file for a moment
    # bytes that the journal keeps of the disk after a long reader has kept it from being emptied
    "PRAGMA journal_size_limit = 33554432",
)
#: finds damage before anything is built on it; takes 0.2 s for 600,000 images, 2 s from a cold disk
QUICK_CHECK = "PRAGMA quick_check(1)"
#: bytes; a larger file is not checked, so that the time of a start stays bounded
LARGEST_CHECKED = 256 * 2**20
START_BATCH = """
    UPDATE batches SET status = 'processing', started_at = coalesce(started_at, ?)
    WHERE id = ? AND status = 'pending'
"""
#: the number of the schema is on the first page, which is written even where the number stays the same
WRITE_NOTHING = f"PRAGMA user_version = {len(MIGRATIONS)}"
#: an upload that a crash cut off may have a million rows, so it is deleted in parts, as a request is
FORGET_UNREADY = "UPDATE batches SET forgotten = 1 WHERE NOT ready AND NOT forgotten"


class Database(BatchQueries, ImageQueries):
    """All state of the service; opened by `open_database`."""

    def __init__(self, reader: Reader, writer: Writer, outcomes: Outcomes, file: DatabaseFile) -> None:
        super().__init__(reader)
        self._file = file
        self.writer = writer
        self.outcomes = outcomes
        self.deliveries = Deliveries(reader, writer)
        self.cached_results = CachedResults(reader)
        self.removal = Removal(reader, writer)

    async def check(self) -> None:
        """Do what an upload needs without a change. Raises `DatabaseFailure`, `NoSpace`."""
        await self._file.check()
        await self.pending_images()
        await self.writer.execute(WRITE_NOTHING)

    async def check_space(self) -> None:
        """Raise `NoSpace` where the disk has no room for uploads; accepted requests continue."""
        await self._file.check_space()

    def intake(self, new: NewBatch, *, max_pending: int) -> Intake:
        """Begin to write a batch; with it no more than `max_pending` images of all batches may be pending."""
        return Intake(self.writer, self.removal, new, check=self._file.check, max_pending=max_pending)

    async def start(self, batch_id: int) -> None:
        """Note that processing of a batch has begun."""
        await self.writer.execute(START_BATCH, (time.time(), batch_id))

    def record(self, outcome: Outcome) -> asyncio.Future[None]:
        """Record what became of an image; see `Outcomes.record`."""
        return self.outcomes.record(outcome)


@asynccontextmanager
async def open_database(
    path: Path, *, webhook_events: WebhookEvents, events: Events, in_flight: InFlight, metrics: Metrics
) -> AsyncIterator[Database]:
    """Open the database, creating or migrating it where necessary. Raises `DatabaseUnusable`."""
    async with AsyncExitStack() as stack:
        try:
            await asyncio.to_thread(make_folder, path.parent)
            writing = await stack.enter_async_context(_connection(path, PRAGMAS))
            await _check_for_damage(writing, path)
            await migrate(writing, str(path))
            await writing.execute(FORGET_UNREADY)
            await writing.create_function("url_key", 1, key_of_url, deterministic=True)
            reading_only = (*PRAGMAS[2:], "PRAGMA query_only = ON")
            reading = await stack.enter_async_context(_connection(path, reading_only))
            file = await asyncio.to_thread(DatabaseFile, path)
        except OSError as error:
            raise DatabaseUnusable(str(path), disk_fault(error, path.parent)) from error
        except sqlite3.Error as error:
            raise DatabaseUnusable(str(path), reason_of(error)) from error
        writer = await stack.enter_async_context(aclosing(Writer(writing, events, in_flight, metrics)))
        outcomes = await stack.enter_async_context(aclosing(Outcomes(writer, webhook_events, in_flight)))
        yield Database(Reader(reading), writer, outcomes, file)


@asynccontextmanager
async def _connection(path: Path, pragmas: tuple[str, ...]) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        connection.row_factory = sqlite3.Row
        for pragma in pragmas:
            await connection.execute(pragma)
        yield connection


async def _check_for_damage(connection: aiosqlite.Connection, path: Path) -> None:
    if (await asyncio.to_thread(os.stat, path)).st_size > LARGEST_CHECKED:
        logger.info("skipping the check of %s for damage: the file is too large", path)
        return
    for (found,) in await connection.execute_fetchall(QUICK_CHECK):
        if found != "ok":
            raise DatabaseUnusable(str(path), f"{DAMAGED} (SQLite: {' '.join(found.split())})")
