"""Operations that arrive together share a commit, and nothing else."""

import asyncio
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from databases import opened_database, published, state
from outcomes import done
from resizer.database import Database
from resizer.database.writer import Operation
from resizer.errors import DatabaseFailure
from resizer.events import Event, Events, FilesUnused, RequestsChanged
from resizer.models import BatchStatus


async def test_operation_that_fails_is_undone_alone(database: Database) -> None:
    """What is committed with it is kept."""
    batch = await published(database, 2)

    async def broken(connection: object) -> None:
        del connection
        raise ValueError("mine alone")

    results = await asyncio.gather(
        database.record(done(batch.id, 0)),
        database.writer.run(broken),
        database.start(batch.id),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    now = await state(database, batch)
    assert (now.completed, now.status) == (1, BatchStatus.PROCESSING)


async def test_operation_that_fails_by_itself_is_undone(database: Database) -> None:
    """Nothing else is in its transaction."""
    batch = await published(database, 2)

    async def broken(connection: aiosqlite.Connection) -> None:
        await connection.execute("UPDATE batches SET completed = 2 WHERE id = ?", (batch.id,))
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        await database.writer.run(broken)
    await database.start(batch.id)
    now = await state(database, batch)
    assert (now.completed, now.status) == (0, BatchStatus.PROCESSING)


async def test_cancelled_caller_does_not_stop_the_writer(database: Database) -> None:
    batch = await published(database, 2)
    task = asyncio.ensure_future(database.record(done(batch.id, 0)))
    await asyncio.sleep(0)
    task.cancel()
    await database.record(done(batch.id, 1))
    assert (await state(database, batch)).completed == 2


async def test_each_operation_runs_once_though_another_fails(database: Database) -> None:
    runs: list[int] = []

    def operation(number: int) -> Operation[int]:
        async def run(_: aiosqlite.Connection) -> int:
            runs.append(number)
            if number == 1:
                raise ValueError("mine alone")
            return number

        return run

    calls = (database.writer.run(operation(number)) for number in range(4))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert runs == [0, 1, 2, 3]
    assert [result for result in results if not isinstance(result, ValueError)] == [0, 2, 3]


async def test_only_events_of_committed_operations_are_published(database: Database, events: Events) -> None:
    heard: list[Event] = []
    events.subscribe(FilesUnused, heard.append)
    events.subscribe(RequestsChanged, heard.append)

    def operation(event: Event, statement: str = "SELECT 1") -> Operation[None]:
        async def run(connection: aiosqlite.Connection) -> None:
            database.writer.publish_after_commit(event)
            await connection.execute(statement)
            assert event not in heard

        return run

    kept = RequestsChanged(frozenset({1}))
    results = await asyncio.gather(
        database.writer.run(operation(FilesUnused(), "SELECT 1 FROM nowhere")),
        database.writer.run(operation(kept)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [DatabaseFailure, type(None)]
    assert heard == [kept]
    # SQLite itself rolls back on some faults: all that shared the transaction fails
    results = await asyncio.gather(
        database.writer.run(operation(RequestsChanged(frozenset({2})))),
        database.writer.run(operation(FilesUnused(), "ROLLBACK")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [DatabaseFailure] * 2
    assert heard == [kept]
    await database.check()


async def test_writing_to_a_locked_database_fails_until_it_is_unlocked(tmp_path: Path) -> None:
    async with opened_database(tmp_path / "resizer.db") as database:
        batch = await published(database, 1)
        await database.writer.run(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
        other = sqlite3.connect(tmp_path / "resizer.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseFailure, match="locked"):
            await database.record(done(batch.id, 0))
        other.execute("ROLLBACK")
        other.close()
        await database.record(done(batch.id, 0))
        assert (await state(database, batch)).done
