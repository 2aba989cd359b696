"""A copy of the database is whole, of one moment, and put in place as a whole."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from databases import garbage_in_the_middle, opened_database, published
from outcomes import done
from resizer.database import back_up, check_database, filenames, named_among, restore, unnamed_among
from resizer.database.copies import count_noted, note_unnamed
from resizer.errors import DatabaseUnusable


async def test_copy_of_a_database_in_use_holds_what_is_committed(tmp_path: Path) -> None:
    file, copy = tmp_path / "resizer.db", tmp_path / "copy.db"
    async with opened_database(file) as database:
        batch = await published(database, 3)
        await database.record(done(batch.id, 0))
        contents = back_up(file, copy)
        await database.record(done(batch.id, 1))
    assert (contents.requests, contents.images, contents.size) == (1, 3, copy.stat().st_size)
    assert check_database(copy) == (contents, [])
    assert list(filenames(copy)) == [[f"{0:032x}.jpg"]]
    assert copy.stat().st_mode == file.stat().st_mode


async def test_restored_copy_keeps_the_files_of_later_requests(tmp_path: Path) -> None:
    file, copy, aside = tmp_path / "resizer.db", tmp_path / "copy.db", tmp_path / "aside.db"
    async with opened_database(file) as database:
        await database.removal.collect_since(0.0)
        batch = await published(database, 1)
        back_up(file, copy)
        await database.removal.forget(batch.id)
    restore(copy, file, aside=aside)
    assert aside.exists()
    async with opened_database(file) as database:
        assert await database.batch_by_id(batch.id) == batch
        since = await database.removal.collects_since()
        assert since is not None
        assert since > batch.created_at


def test_damaged_copy_changes_nothing(used: Path) -> None:
    copy = used.with_name("copy.db")
    back_up(used, copy)
    garbage_in_the_middle(copy)
    before = used.read_bytes()
    with pytest.raises(DatabaseUnusable, match="damaged"):
        restore(copy, used, aside=used.with_name("aside.db"))
    assert used.read_bytes() == before
    assert not used.with_name("aside.db").exists()
    with pytest.raises(DatabaseUnusable, match="damaged"):
        back_up(copy, used.with_name("another.db"))
    assert not used.with_name("another.db").exists()


async def test_check_finds_counters_that_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "resizer.db"
    async with opened_database(file) as database:
        batch = await published(database, 3)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE batches SET completed = 1, pending = 2")
    _, faults = check_database(file)
    assert faults == [f"the counters of request {batch.request_id} are wrong"]


async def test_files_are_told_apart_by_whether_an_image_names_them(tmp_path: Path) -> None:
    file = tmp_path / "resizer.db"
    used, noted, unused = (f"{number:032x}.jpg" for number in range(3))
    async with opened_database(file) as database:
        batch = await published(database, 1)
        await database.record(done(batch.id, 0))
        note_unnamed(file, [noted])
        assert await database.removal.has_noted()
    assert named_among(file, [used, noted, unused]) == [used]
    assert unnamed_among(file, [used, noted, unused]) == [unused]
    assert count_noted(file, [used, noted, unused]) == 1
