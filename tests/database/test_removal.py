"""Deleted batches are removed in parts, and their files once no image uses them."""

from pathlib import Path

import pytest

from databases import published, rows, state
from outcomes import done, failed
from resizer.database import Database
from resizer.events import Events, FilesUnused


def name(seq: int) -> str:
    return f"{seq:032x}.jpg"


async def delete(database: Database, batch_id: int) -> None:
    assert await database.removal.forget(batch_id)
    assert await database.removal.forgotten() == [batch_id]
    while await database.removal.delete_some(batch_id):
        pass


async def test_batch_is_deleted_in_parts_and_its_files_are_noted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resizer.database.removal.AT_ONCE", 2)
    batch = await published(database, 2, 2, 1, key="k")
    await database.record(failed(batch.id, 0))
    for seq in range(1, 5):
        await database.record(done(batch.id, seq))
    assert await database.removal.forget(batch.id)
    assert not await database.removal.forget(batch.id)
    parts = 0
    while await database.removal.delete_some(batch.id):
        parts += 1
    assert parts == 5  # three of images, two of products
    for table in ("batches", "products", "images", "deliveries", "idempotency_keys"):
        assert rows(tmp_path, table) == 0, table
    assert await database.removal.forgotten() == []
    assert await database.removal.unused(after="", limit=10) == ([name(seq) for seq in range(1, 5)], name(4))


async def test_noted_file_that_an_image_uses_is_kept_and_its_note_forgotten(
    database: Database, tmp_path: Path
) -> None:
    old, young = await published(database, 3), await published(database, 3)
    for seq in range(3):
        await database.record(done(old.id, seq))
    await database.record(done(young.id, 1))
    await delete(database, old.id)
    assert await database.removal.has_noted()
    assert await database.removal.unused(after="", limit=10) == ([name(0), name(2)], name(2))
    assert rows(tmp_path, "orphans") == 2
    # recorded after the look: the next one finds it used
    await database.record(done(young.id, 2))
    assert await database.removal.unused(after="", limit=10) == ([name(0)], name(2))
    await database.removal.forget_notes([name(0)])
    assert await database.removal.unused(after="", limit=10) == ([], None)
    assert not await database.removal.has_noted()


async def test_notes_are_looked_at_in_pages(database: Database, events: Events) -> None:
    received: list[FilesUnused] = []
    events.subscribe(FilesUnused, received.append)
    names = [name(seq) for seq in range(5)]
    await database.removal.note(names)
    await database.removal.note(names)
    assert len(received) == 2
    found: list[str] = []
    last: str | None = ""
    while last is not None:
        page, last = await database.removal.unused(after=last, limit=2)
        found += page
    assert found == names


async def test_unnamed_files_are_those_of_no_image_and_no_note(database: Database) -> None:
    batch = await published(database, 1)
    await database.record(done(batch.id, 0))
    await database.removal.note([name(1)])
    assert await database.removal.unnamed([name(0), name(1), name(2)]) == [name(2)]


async def test_time_since_which_files_are_collected_is_kept(database: Database) -> None:
    assert await database.removal.collects_since() is None
    await database.removal.collect_since(12.5)
    assert await database.removal.collects_since() == 12.5


async def test_batches_that_ended_long_ago_are_found_first_ones_first(database: Database) -> None:
    assert await database.removal.first_end() is None
    batches = [await published(database, 1) for _ in range(3)]
    for batch in (batches[1], batches[0]):
        await database.record(done(batch.id, 0))
    first, second = [(await state(database, batch)).finished_at for batch in (batches[1], batches[0])]
    assert first is not None
    assert second is not None
    assert await database.removal.first_end() == first
    ended = await database.removal.ended_before(second, limit=10)
    assert [batch.id for batch in ended] == [batches[1].id, batches[0].id]
    assert len(await database.removal.ended_before(second, limit=1)) == 1
    assert not await database.removal.forget(batches[0].id, ended_before=first - 1)
    assert not await database.removal.forget(batches[2].id, ended_before=second)
    assert await database.removal.forget(batches[1].id, ended_before=first)
