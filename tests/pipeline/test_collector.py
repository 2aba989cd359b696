"""Files that no image names are collected, and no others."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outcomes import MakeBatch, done
from resizer.config import StorageSettings
from resizer.database import Database
from resizer.errors import StorageFailure
from resizer.pipeline.collector import DAY, GRACE, Collector
from resizer.pipeline.remover import Remover
from resizer.storage.base import Storage
from resizer.storage.claims import FileClaims
from resizer.storage.local import ABANDONED, LocalStorage
from resizer.storage.object_store import ObjectStorage
from resizer.support.in_flight import InFlight


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    async with LocalStorage(tmp_path / "compressed", InFlight()) as opened:
        yield opened


def name(number: int) -> str:
    return f"{number:032x}.jpg"


async def stored(storage: Storage, *numbers: int) -> None:
    for number in numbers:
        draft = storage.draft()
        draft.write_bytes(b"image")
        await storage.put(draft, name(number))


def aged(storage: LocalStorage, *numbers: int, seconds: float = GRACE + 1) -> None:
    for number in numbers:
        past = time.time() - seconds
        os.utime(storage.folder / name(number), (past, past))


async def there(storage: Storage, *numbers: int) -> list[int]:
    return [number for number in numbers if await storage.find(name(number))]


async def keep_older_files(database: Database, since: float) -> None:
    await database.writer.run(
        lambda connection: connection.execute("UPDATE collection SET since = ?", (since,))
    )


@pytest.fixture(autouse=True)
async def in_use_for_long(database: Database) -> None:
    await keep_older_files(database, 0)


async def test_an_old_file_goes_unless_an_image_names_it(
    database: Database, batch_of: MakeBatch, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resizer.storage.local.PAGE", 2)
    batch = await batch_of(["h"] * 2)
    await stored(storage, 0, 1, 2, 3, 4)
    await database.record(done(batch.id, 0))
    await database.record(done(batch.id, 1))
    aged(storage, 0, 1, 2, 3)
    (storage.folder / "notes.txt").write_text("not ours")
    os.utime(storage.folder / "notes.txt", (0, 0))
    async with Remover(database, storage, FileClaims()) as remover:
        assert await Collector(database, storage, remover).collect() == 2
        await remover.through()
        # the last is as old as an outcome on its way may be
        assert await there(storage, 0, 1, 2, 3, 4) == [0, 1, 4]
        assert await Collector(database, storage, remover).collect(grace=0) == 1
        await remover.through()
    assert await there(storage, 0, 1, 4) == [0, 1]
    assert (storage.folder / "notes.txt").exists()


async def test_it_looks_when_it_starts_and_once_a_day(
    database: Database, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = asyncio.Semaphore(0)

    async def look(_: Collector) -> int:
        looks.release()
        return 0

    assert DAY == 24 * 3600
    monkeypatch.setattr("resizer.pipeline.collector.DAY", 0)
    monkeypatch.setattr(Collector, "collect", look)
    async with Remover(database, storage, FileClaims()) as remover, Collector(database, storage, remover):
        await looks.acquire()
        await looks.acquire()


async def test_a_look_that_fails_is_repeated(
    database: Database,
    storage: LocalStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = asyncio.Semaphore(0)
    faults = [StorageFailure("it may not be read"), ValueError("a bug"), None]

    async def look(_: Collector) -> int:
        looks.release()
        if fault := faults.pop(0):
            raise fault
        return 0

    monkeypatch.setattr(Collector, "collect", look)
    monkeypatch.setattr("resizer.pipeline.collector.RETRY", 0)
    async with Remover(database, storage, FileClaims()) as remover, Collector(database, storage, remover):
        for _ in range(3):
            await looks.acquire()
    assert "it may not be read; retrying every" in caplog.text
    assert "a bug" in caplog.text


async def test_an_outcome_that_is_about_to_name_the_file_loses_nothing(
    database: Database, batch_of: MakeBatch, storage: LocalStorage
) -> None:
    """A task finds the old file and means to use it; the collector finds that no image does."""
    batch = await batch_of(["h"] * 2)
    await stored(storage, 0, 1)
    aged(storage, 0, 1)
    claims = FileClaims()
    remover = Remover(database, storage, claims)
    collector = Collector(database, storage, remover)
    assert await collector.collect() == 2
    # recorded after the look and before the removal
    await database.record(done(batch.id, 1))
    await claims.claim(f"{0:032x}")
    async with remover:
        await remover.through()
        assert await there(storage, 0, 1) == [0, 1]
        await database.record(done(batch.id, 0))
        claims.release(f"{0:032x}")
        assert await collector.collect(grace=0) == 0
        await remover.through()
    assert await there(storage, 0, 1) == [0, 1]


async def test_files_from_before_the_database_are_kept(
    database: Database, storage: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone began with a new database; shops may still show the images of the old one.

    Nor does it matter when they were brought here, or given to another user.
    """
    await stored(storage, 0, 1)
    aged(storage, 0, 1)
    since = time.time() - GRACE / 2
    await keep_older_files(database, since)
    assert (storage.folder / name(0)).stat().st_ctime > since
    async with Remover(database, storage, FileClaims()) as remover:
        assert await Collector(database, storage, remover).collect() == 0
        await remover.through()
    assert await there(storage, 0, 1) == [0, 1]
    assert "2 files that no request names are older than this database, and are kept" in caplog.text


async def test_a_new_database_keeps_what_is_stored_already_and_nothing_else(
    database: Database, storage: LocalStorage
) -> None:
    undecided = "UPDATE collection SET since = NULL"
    async with Remover(database, storage, FileClaims()) as remover:
        collector = Collector(database, storage, remover)
        await database.writer.run(lambda connection: connection.execute(undecided))
        await stored(storage, 0)
        await collector.decide()
        aged(storage, 0)
        assert await collector.collect() == 0
        # the same with an empty folder, whatever the clock says of what comes later
        await database.writer.run(lambda connection: connection.execute(undecided))
        await storage.delete(name(0))
        await collector.decide()
        await stored(storage, 1)
        aged(storage, 1, seconds=10 * 24 * 3600)
        # decided once
        await collector.decide()
        assert await collector.collect() == 1
        await remover.through()
    assert await there(storage, 1) == []


async def test_more_files_than_a_crash_can_leave_are_kept(
    database: Database,
    storage: LocalStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Someone brought the folder of another installation here."""
    monkeypatch.setattr("resizer.pipeline.collector.MOST", 2)
    await stored(storage, 0, 1, 2)
    aged(storage, 0, 1, 2)
    async with Remover(database, storage, FileClaims()) as remover:
        collector = Collector(database, storage, remover)
        assert await collector.collect() == 0
        assert "more than 2 files that no request names" in caplog.text
        await storage.delete(name(2))
        assert await collector.collect() == 2
        await remover.through()
    assert await there(storage, 0, 1) == []


async def test_a_killed_neighbour_s_draft_goes_after_a_day(database: Database, storage: LocalStorage) -> None:
    old, young = (storage.folder / f".{owner}-1.draft" for owner in ("0" * 16, "1" * 16))
    for draft, age in ((old, ABANDONED + 60), (young, 60)):
        draft.write_bytes(b"half")
        os.utime(draft, (time.time() - age,) * 2)
    async with Remover(database, storage, FileClaims()) as remover, Collector(database, storage, remover):
        async with asyncio.timeout(30):
            while old.exists():  # noqa: ASYNC110 - a thread removes it
                await asyncio.sleep(0.01)
    assert young.exists()


async def test_objects_of_a_bucket_are_collected_too(
    database: Database, batch_of: MakeBatch, s3_settings: dict[str, str], tmp_path: Path
) -> None:
    batch = await batch_of(["h"])
    async with (
        ObjectStorage(StorageSettings(**s3_settings), drafts=tmp_path / "drafts") as bucket,
        Remover(database, bucket, FileClaims()) as remover,
    ):
        await bucket.check()
        await stored(bucket, 0, 1)
        await database.record(done(batch.id, 0))
        collector = Collector(database, bucket, remover)
        assert await collector.collect() == 0
        assert await collector.collect(grace=-60) == 1
        await remover.through()
        assert await there(bucket, 0, 1) == [0]
