"""A database is opened only where it is whole and ours, and then keeps what is committed."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from databases import garbage, garbage_in_the_middle, opened_database
from recovery import check_integrity
from resizer.database import Database
from resizer.database.migrations import MIGRATIONS
from resizer.errors import DatabaseUnusable


async def test_commit_is_on_disk(database: Database, tmp_path: Path) -> None:
    async def pragmas(connection: aiosqlite.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        found = []
        for name in names:
            (row,) = await connection.execute_fetchall(f"PRAGMA {name}")
            found.append(row[0])
        return found

    assert await database.writer.run(pragmas) == ["wal", 2, 1]
    assert (tmp_path / "resizer.db-wal").exists()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


@pytest.mark.parametrize(
    "prepare, reason",
    [
        (lambda path: path.write_bytes(b"no database" * 500), "not a database"),
        (lambda path: path.mkdir(), "unable to open"),
        (newer, "newer version"),
    ],
)
async def test_unusable_database_is_refused(
    prepare: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    prepare(tmp_path / "resizer.db")
    with pytest.raises(DatabaseUnusable, match=reason):
        async with opened_database(tmp_path / "resizer.db"):
            pass


def cut_short(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def cut_in_a_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(1000)


def of_another_program(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE batches (name)")


def of_another_program_that_counts(file: Path) -> None:
    of_another_program(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1")


def same_but_for_the_head(one: Path, other: Path) -> bool:
    """The head holds a counter of changes, and the kind of journal."""
    return one.read_bytes()[100:] == other.read_bytes()[100:]


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (garbage, "damaged or not a resizer database"),
        (garbage_in_the_middle, "damaged or not a resizer database"),
        (cut_short, "damaged or not a resizer database"),
        (cut_in_a_page, "damaged or not a resizer database"),
        (of_another_program, "belongs to another program"),
        (of_another_program_that_counts, "no such table"),
    ],
)
async def test_database_that_is_spoilt_is_refused_and_left_alone(
    spoil: Callable[[Path], None], reason: str, used: Path
) -> None:
    spoil(used)
    copy = shutil.copy(used, used.with_suffix(".copy"))
    with pytest.raises(DatabaseUnusable) as caught:
        async with opened_database(used):
            pass
    assert reason in str(caught.value)
    assert str(used) in str(caught.value)
    assert same_but_for_the_head(used, Path(copy))


@pytest.mark.usefixtures("impatient")
async def test_database_that_another_program_locks_is_refused_at_start(used: Path) -> None:
    with closing(sqlite3.connect(used, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnusable, match="another program keeps it locked; close that program"):
            async with opened_database(used):
                pass
    async with opened_database(used) as database:
        await database.check()


async def test_journal_that_is_garbage_costs_what_stood_in_it_and_no_more(used: Path, tmp_path: Path) -> None:
    """SQLite takes a journal only as far as its checksums are right."""
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    async with opened_database(used) as database:
        await database.check()
        shutil.copy(used, crashed)
    (crashed / "resizer.db-wal").write_bytes(b"garbage!" * 1000)
    async with opened_database(crashed / "resizer.db") as database:
        await database.check()
    check_integrity(crashed)


async def test_file_without_content_is_a_new_database(tmp_path: Path) -> None:
    """A crash at the very first start leaves one."""
    (tmp_path / "resizer.db").touch()
    async with opened_database(tmp_path / "resizer.db") as database:
        await database.check()


async def test_journal_gives_back_the_disk_that_it_took(tmp_path: Path) -> None:
    file = tmp_path / "resizer.db"
    journal = tmp_path / "resizer.db-wal"
    async with opened_database(file) as database:

        async def write(connection: Any) -> None:
            await connection.execute("INSERT INTO t VALUES (zeroblob(50000000))")

        await database.writer.run(lambda connection: connection.execute("CREATE TABLE t (x)"))
        with closing(sqlite3.connect(file, isolation_level=None)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM batches").fetchall()
            await database.writer.run(write)
            assert journal.stat().st_size > 50_000_000
        for _ in range(3):
            await database.check()
        assert journal.stat().st_size < 40_000_000
