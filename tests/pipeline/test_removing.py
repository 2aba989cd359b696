"""Deleted batches go with their files, unless somebody still uses them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from databases import opened_database
from outcomes import MakeBatch, done, failed
from resizer.database import Database
from resizer.errors import BatchNotFound, StorageFailure
from resizer.models import Batch
from resizer.pipeline.remover import Remover
from resizer.pipeline.results import result_csv
from resizer.storage.claims import FileClaims, stem_of_name
from resizer.storage.local import LocalStorage
from resizer.support.in_flight import InFlight


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    async with LocalStorage(tmp_path / "compressed", InFlight()) as opened:
        yield opened


def name(seq: int) -> str:
    return f"{seq:032x}.jpg"


async def stored(storage: LocalStorage, *seqs: int) -> None:
    for seq in seqs:
        draft = storage.draft()
        draft.write_bytes(b"image")
        await storage.put(draft, name(seq))


async def there(storage: LocalStorage, *seqs: int) -> list[int]:
    return [seq for seq in seqs if await storage.find(name(seq))]


async def ended(database: Database, batch_of: MakeBatch, storage: LocalStorage, *seqs: int) -> Batch:
    """A batch of four images, of which these are completed, each with its file."""
    batch = await batch_of(["h"] * 4)
    await stored(storage, *seqs)
    for seq in range(4):
        await database.record(done(batch.id, seq) if seq in seqs else failed(batch.id, seq))
    return batch


@asynccontextmanager
async def removing(
    database: Database, storage: LocalStorage, claims: FileClaims | None = None
) -> AsyncIterator[Remover]:
    async with Remover(database, storage, claims or FileClaims()) as remover:
        yield remover


async def rows(database: Database) -> int:
    """Return how many rows there are that a batch has made."""
    tables = ("batches", "products", "images", "deliveries", "idempotency_keys", "orphans")
    counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)

    async def count(connection: object) -> int:
        ((found,),) = await connection.execute_fetchall(f"SELECT {counts}")  # type: ignore[attr-defined]
        return int(found)

    return await database.writer.run(count)


async def test_files_go_with_the_last_batch_that_uses_them(
    database: Database, batch_of: MakeBatch, storage: LocalStorage
) -> None:
    one = await ended(database, batch_of, storage, 0, 1, 2)
    two = await ended(database, batch_of, storage, 1, 2, 3)
    async with removing(database, storage) as remover:
        assert await database.removal.forget(one.id)
        assert await database.batch(one.request_id) is None
        await remover.through()
        assert await there(storage, 0, 1, 2, 3) == [1, 2, 3]
        assert not await database.removal.forget(one.id)
        assert await database.removal.forget(two.id)
        await remover.through()
        assert await there(storage, 0, 1, 2, 3) == []
    assert await rows(database) == 0


async def test_the_next_start_goes_on_with_what_is_left(
    batch_of: MakeBatch, database: Database, storage: LocalStorage, tmp_path: Path
) -> None:
    batch = await ended(database, batch_of, storage, 0, 1)
    await database.removal.forget(batch.id)
    await database.removal.delete_some(batch.id)  # its images, and then the power goes
    async with (
        opened_database(tmp_path / "resizer.db") as again,
        removing(again, storage) as remover,
    ):
        await remover.through()
        assert await rows(again) == 0
    assert await there(storage, 0, 1) == []


async def test_what_cannot_be_deleted_is_kept_in_mind(
    database: Database, batch_of: MakeBatch, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await ended(database, batch_of, storage, 0, 1)
    delete = storage.delete

    async def refused(file: str) -> None:
        if file == name(0):
            raise StorageFailure("it may not be written to")
        await delete(file)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "delete", refused)
        async with removing(database, storage) as remover:
            await database.removal.forget(batch.id)
            await remover.through()
    assert await there(storage, 0, 1) == [0]
    async with removing(database, storage) as remover:
        await remover.through()
    assert await there(storage, 0, 1) == []
    assert await rows(database) == 0


async def test_a_claimed_file_stays_until_the_outcome_that_names_it_is_recorded(
    database: Database, batch_of: MakeBatch, storage: LocalStorage
) -> None:
    """A task that found the file may be slower than the one that deletes it."""
    old = await ended(database, batch_of, storage, 0, 1)
    batch = await batch_of(["h"])
    claims = FileClaims()
    await claims.claim(stem_of_name(name(0)))
    async with removing(database, storage, claims) as remover:
        await database.removal.forget(old.id)
        await remover.through()
        assert await there(storage, 0, 1) == [0]
        await database.record(done(batch.id, 0))
        claims.release(stem_of_name(name(0)))
        await remover.through()
    assert await there(storage, 0) == [0]
    assert await database.removal.forget(batch.id)
    async with removing(database, storage, claims) as remover:
        await remover.through()
    assert await there(storage, 0) == []


async def test_a_file_that_is_being_deleted_can_be_claimed_once_it_is_gone(
    database: Database, batch_of: MakeBatch, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await ended(database, batch_of, storage, 0)
    claims = FileClaims()
    delete, found = storage.delete, []

    async def claimed_in_between(file: str) -> None:
        claiming = asyncio.create_task(claims.claim(stem_of_name(file)))
        await asyncio.sleep(0)
        found.append(claiming.done())
        await delete(file)
        claimings.append(claiming)

    claimings: list[asyncio.Task[None]] = []
    monkeypatch.setattr(storage, "delete", claimed_in_between)
    async with removing(database, storage, claims) as remover:
        await database.removal.forget(old.id)
        await remover.through()
        await asyncio.gather(*claimings)
    assert found == [False]
    assert await there(storage, 0) == []


async def test_a_file_of_an_image_that_was_deleted_before_it_was_done_goes_too(
    database: Database, batch_of: MakeBatch, storage: LocalStorage
) -> None:
    batch = await batch_of(["h"] * 2)
    other = await ended(database, batch_of, storage, 1)
    async with removing(database, storage) as remover:
        await database.removal.forget(batch.id)
        await remover.through()
        await stored(storage, 0)
        # they come too late; the second file is used by another batch
        await database.record(done(batch.id, 0))
        await database.record(done(batch.id, 1))
        await remover.through()
    assert await there(storage, 0, 1) == [1]
    assert await database.batch_by_id(other.id) is not None


async def test_a_result_does_not_end_as_if_whole_when_its_batch_is_deleted(
    database: Database, batch_of: MakeBatch, storage: LocalStorage
) -> None:
    batch = await ended(database, batch_of, storage, 0, 1, 2, 3)
    pieces = result_csv(database, batch, files_url="http://service/compressed")
    assert (await anext(pieces)).startswith(b"S. No.")
    await database.removal.forget(batch.id)
    with pytest.raises(BatchNotFound):
        async for _ in pieces:
            pass
