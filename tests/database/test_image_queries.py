"""Images are found by status, by host and by product, in the order of the CSV."""

from databases import published
from outcomes import MakeBatch, done, failed
from resizer.database import Database
from resizer.models import ImageStatus, Task
from resizer.support.host_key import HostKey


async def test_result_has_each_product_in_order(database: Database) -> None:
    counts = [2, 0, 1] * 400
    batch = await published(database, *counts)
    await database.record(done(batch.id, 1))
    result = [row async for row in database.result(batch.id)]
    assert [len(row.images) for row in result] == counts
    assert [row.cells[1] for row in result] == [f"P{number}" for number in range(len(counts))]
    assert [image.seq for row in result for image in row.images] == list(range(sum(counts)))
    assert result[0].images[1].compressed is not None


async def test_images_are_filtered_by_status(database: Database) -> None:
    batch = await published(database, 2, 2)
    await database.record(failed(batch.id, 2))
    (image,) = await database.images(batch.id, limit=10, status=ImageStatus.FAILED)
    assert (image.line, image.product_name, image.position) == (3, "P1", 1)
    assert image.fault is not None
    assert [each.seq for each in await database.images(batch.id, after=1, limit=1)] == [2]


async def test_waiting_images_are_pending_ones_of_the_hosts_asked_for(
    database: Database, batch_of: MakeBatch
) -> None:
    batch = await batch_of(["a", "b", "a", "b", "a"])
    await database.record(done(batch.id, 2))
    key = HostKey.of("http://a/")

    def seqs(rows: list[tuple[str, Task]]) -> list[int]:
        return [task.seq for _, task in rows]

    assert seqs(await database.waiting(batch.id, batch.recipe, after=-1, limit=10)) == [0, 1, 3, 4]
    assert seqs(await database.waiting(batch.id, batch.recipe, after=0, limit=2)) == [1, 3]
    others = await database.waiting(batch.id, batch.recipe, after=-1, limit=10, without_hosts=[key])
    assert seqs(others) == [1, 3]
    of_host = await database.waiting_of_host(batch.id, batch.recipe, key, after=0, limit=10)
    assert seqs(of_host) == [4]
    ((host, task),) = of_host
    assert host == key
    assert task == Task(batch_id=batch.id, seq=4, url="http://a/4.jpg", recipe=batch.recipe)
