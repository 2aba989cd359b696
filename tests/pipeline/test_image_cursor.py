from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from outcomes import MakeBatch, done, failed
from resizer.database import Database
from resizer.fetch.hosts import HostLimits
from resizer.models import Batch, Task
from resizer.pipeline.image_cursor import MOST_HELD, PAGE, ImageCursor
from resizer.support.host_key import HostKey

PER_HOST = 4
IN_DOUBT = 16


def proven(*names: str) -> HostLimits:
    """Limits at hosts that have all answered before."""
    hosts = HostLimits(per_host=PER_HOST, most_in_doubt=IN_DOUBT)
    for name in map(key, names):
        hosts.enter(name)
        hosts.leave(name, answered=True)
    return hosts


def key(name: str) -> HostKey:
    """Return the key of a host to which `batch_of` made URLs."""
    return HostKey.of(f"http://{name}/")


async def seqs_of(cursor: ImageCursor, end: Callable[[str, int], Awaitable[None]]) -> list[int]:
    """Take all images, and end the oldest in flight whenever there is no room for another."""
    in_flight: list[tuple[str, int]] = []
    taken = []
    while not cursor.exhausted:
        next_one = await cursor.take()
        if next_one is not None:
            in_flight.append((next_one[0], next_one[1].seq))
            taken.append(next_one[1].seq)
            continue
        assert in_flight, "nothing is in flight and nothing is handed out"
        await end(*in_flight.pop(0))
    return taken


async def test_images_come_once_and_in_the_order_of_the_csv(database: Database, batch_of: MakeBatch) -> None:
    names = [f"h{number}" for number in range(3 * PAGE + 5)]
    batch = await batch_of(names)
    cursor = ImageCursor(database, proven(*names), batch.id)
    taken = []
    while (next_one := await cursor.take()) is not None:
        taken.append(next_one[1].seq)
    assert taken == list(range(batch.images))
    assert cursor.exhausted


@pytest.mark.parametrize("record", [True, False])
async def test_every_image_comes_once_whatever_the_hosts(
    database: Database, batch_of: MakeBatch, record: bool
) -> None:
    """Images in flight still look waiting in the database: none of them may come again."""
    pattern = ["busy"] * 150 + ["rare"] + ["busy", "other"] * 60 + ["rare"] * 3 + ["other"] * 90
    batch = await batch_of(pattern)
    hosts = proven("busy", "rare", "other")
    cursor = ImageCursor(database, hosts, batch.id)

    async def end(host: str, seq: int) -> None:
        if record:
            await database.record(done(batch.id, seq))
        hosts.leave(host, answered=True)

    assert sorted(await seqs_of(cursor, end)) == list(range(batch.images))


async def test_busy_host_does_not_hide_what_stands_behind_it(database: Database, batch_of: MakeBatch) -> None:
    batch = await batch_of(["dead"] * (MOST_HELD * 3) + ["alive"] * 3)
    cursor = ImageCursor(database, proven("dead", "alive"), batch.id)
    first = [await cursor.take() for _ in range(PER_HOST + 3)]
    assert [each and each[0] for each in first] == [key("dead")] * PER_HOST + [key("alive")] * 3
    assert await cursor.take() is None
    assert not cursor.exhausted
    assert cursor.busy_hosts == [key("dead")]


async def test_no_more_images_of_a_host_are_handed_out_than_it_has_hosts(
    database: Database, batch_of: MakeBatch
) -> None:
    batch = await batch_of(["one"] * 20)
    cursor = ImageCursor(database, proven("one"), batch.id)
    taken = [await cursor.take() for _ in range(10)]
    assert sum(each is not None for each in taken) == PER_HOST


async def test_settled_images_are_passed_over_after_a_restart(
    database: Database, batch_of: MakeBatch
) -> None:
    batch = await batch_of(["one", "two", "three", "four"])
    await database.record(done(batch.id, 1))
    await database.record(done(batch.id, 3))
    cursor = ImageCursor(database, proven(), batch.id)
    seqs = [each[1].seq for each in [await cursor.take(), await cursor.take()] if each]
    assert seqs == [0, 2]
    assert await cursor.take() is None
    assert cursor.exhausted


@pytest.mark.parametrize("count", [8, 12, 40])
async def test_many_dead_hosts_that_take_turns_hide_nothing(
    count: int, database: Database, batch_of: MakeBatch
) -> None:
    dead = [f"dead{number}" for number in range(count)]
    batch = await batch_of([*dead * 50, "alive", "alive"])
    cursor = ImageCursor(database, proven("alive"), batch.id)
    taken = []
    while (next_one := await cursor.take()) is not None:
        taken.append(next_one[0])
    assert taken.count(key("alive")) == 2
    assert len(taken) - 2 <= IN_DOUBT


async def test_images_put_back_come_again(database: Database, batch_of: MakeBatch) -> None:
    names = [f"h{number}" for number in range(12)]
    batch = await batch_of(names * 40)
    hosts = HostLimits(per_host=1, most_in_doubt=2)
    cursor = ImageCursor(database, hosts, batch.id)

    async def end(host: str, _: int) -> None:
        hosts.leave(host, answered=False)

    assert sorted(await seqs_of(cursor, end)) == list(range(batch.images))


async def test_image_that_ends_while_a_page_is_read_is_not_handed_out_again(
    database: Database, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rewind it still looked pending when the page was read."""
    batch = await batch_of(["a", "b"])
    cursor = ImageCursor(database, proven("a", "b"), batch.id)
    first = await cursor.take()
    assert first is not None
    waiting = database.waiting

    async def ends_in_between(*args: Any, **options: Any) -> list[tuple[str, Task]]:
        rows = await waiting(*args, **options)
        await database.record(done(batch.id, first[1].seq))
        cursor.in_flight.discard(first[1].seq)
        return rows

    monkeypatch.setattr(database, "waiting", ends_in_between)
    cursor.rewind()
    taken = [each[1].seq for each in [await cursor.take(), await cursor.take()] if each]
    assert taken == [1]


async def test_batch_set_back_while_it_is_found_done_is_read_all_the_same(
    database: Database, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await batch_of(["a"])
    await database.record(failed(batch.id, 0))
    cursor = ImageCursor(database, proven("a"), batch.id)
    read = database.batch_by_id

    async def set_back_in_between(batch_id: int) -> Batch | None:
        found = await read(batch_id)
        if found is not None and found.done:
            await database.outcomes.reopen(batch_id)
            cursor.rewind()
        return found

    monkeypatch.setattr(database, "batch_by_id", set_back_in_between)
    assert await cursor.take() is not None
