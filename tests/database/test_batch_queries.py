"""Batches are found by id, by content and by status, and only while they are visible."""

from databases import published
from outcomes import done, failed
from resizer.database import Database
from resizer.models import Batch, BatchStatus


def ids(batches: list[Batch]) -> list[int]:
    return [batch.id for batch in batches]


async def test_newest_batches_come_in_pages_and_by_status(database: Database) -> None:
    first, second, third = [await published(database, 1) for _ in range(3)]
    await database.record(done(second.id, 0))
    assert ids(await database.newest(limit=2)) == [third.id, second.id]
    assert ids(await database.newest(before=second.id, limit=2)) == [first.id]
    assert ids(await database.newest(limit=9, status=BatchStatus.PENDING)) == [third.id, first.id]
    assert ids(await database.newest(before=third.id, limit=9, status=BatchStatus.PENDING)) == [first.id]
    assert await database.count_by_status() == {BatchStatus.PENDING: 2, BatchStatus.COMPLETED: 1}


async def test_unfinished_batches_and_their_images_are_counted(database: Database) -> None:
    first, second = await published(database, 3), await published(database, 2)
    await database.record(failed(first.id, 1))
    assert await database.pending_images() == 4
    for seq in (0, 1):
        await database.record(failed(second.id, seq))
    assert ids(await database.unfinished()) == [first.id]
    assert ids(await database.unfinished(after=first.id)) == []
    assert await database.pending_images() == 2


async def test_latest_batch_of_a_content_is_found(database: Database) -> None:
    await published(database, 1, digest="one")
    latest = await published(database, 1, digest="one")
    await published(database, 1, digest="other")
    assert await database.latest_with_digest("one") == latest
    assert await database.latest_with_digest("none") is None


async def test_deleted_batch_is_not_found(database: Database) -> None:
    batch = await published(database, 1, key="k")
    assert await database.batch_with_key("k", "d") == batch
    assert await database.removal.forget(batch.id)
    assert await database.batch(batch.request_id) is None
    assert await database.batch_by_id(batch.id) is None
    assert await database.batch_with_key("k", "d") is None
    assert await database.latest_with_digest("d") is None
    assert await database.newest(limit=9) == await database.unfinished() == []
    assert await database.pending_images() == 0
