from collections.abc import Awaitable, Callable

import pytest
from resizer.pipeline.hosts import UNPROVEN, Places, answered

from outcomes import MakeBatch, done, failed
from resizer.database import Database
from resizer.errors import ErrorCode
from resizer.models import Outcome
from resizer.pipeline.image_cursor import MOST_HELD, PAGE, Feed
from resizer.support.host_key import HostKey

PER_HOST = 4
WORKERS = 32


def proven(*names: str) -> Places:
    """Places at hosts that have all answered before."""
    places = Places(per_host=PER_HOST, workers=WORKERS)
    for name in map(key, names):
        places.enter(name)
        places.leave(name, answered=True)
    return places


def key(name: str) -> HostKey:
    """Return the key of a host to which `batch_of` made URLs."""
    return HostKey.of(f"http://{name}/")


async def seqs_of(feed: Feed, end: Callable[[str, int], Awaitable[None]]) -> list[int]:
    """Take all images, and end the oldest in flight whenever there is no room for another."""
    in_flight: list[tuple[str, int]] = []
    taken = []
    while not feed.exhausted:
        next_one = await feed.take()
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
    feed = Feed(database, proven(*names), batch.id)
    taken = []
    while (next_one := await feed.take()) is not None:
        taken.append(next_one[1].seq)
    assert taken == list(range(batch.images))
    assert feed.exhausted


@pytest.mark.parametrize("record", [True, False])
async def test_every_image_comes_once_whatever_the_hosts(
    database: Database, batch_of: MakeBatch, record: bool
) -> None:
    """Images in flight still look waiting in the database: none of them may come again."""
    pattern = ["busy"] * 150 + ["rare"] + ["busy", "other"] * 60 + ["rare"] * 3 + ["other"] * 90
    batch = await batch_of(pattern)
    hosts = proven("busy", "rare", "other")
    feed = Feed(database, hosts, batch.id)

    async def end(host: str, seq: int) -> None:
        if record:
            await database.record(done(batch.id, seq))
        hosts.leave(host, answered=True)

    assert sorted(await seqs_of(feed, end)) == list(range(batch.images))


async def test_busy_host_does_not_hide_what_stands_behind_it(database: Database, batch_of: MakeBatch) -> None:
    batch = await batch_of(["dead"] * (MOST_HELD * 3) + ["alive"] * 3)
    feed = Feed(database, proven("dead", "alive"), batch.id)
    first = [await feed.take() for _ in range(PER_HOST + 3)]
    assert [each and each[0] for each in first] == [key("dead")] * PER_HOST + [key("alive")] * 3
    assert await feed.take() is None
    assert not feed.exhausted
    assert feed.busy_hosts == [key("dead")]


async def test_no_more_images_of_a_host_are_handed_out_than_it_has_places(
    database: Database, batch_of: MakeBatch
) -> None:
    batch = await batch_of(["one"] * 20)
    feed = Feed(database, proven("one"), batch.id)
    taken = [await feed.take() for _ in range(10)]
    assert sum(each is not None for each in taken) == PER_HOST


async def test_settled_images_are_passed_over_after_a_restart(
    database: Database, batch_of: MakeBatch
) -> None:
    batch = await batch_of(["one", "two", "three", "four"])
    await database.record(done(batch.id, 1))
    await database.record(done(batch.id, 3))
    feed = Feed(database, proven(), batch.id)
    seqs = [each[1].seq for each in [await feed.take(), await feed.take()] if each]
    assert seqs == [0, 2]
    assert await feed.take() is None
    assert feed.exhausted


@pytest.mark.parametrize("count", [8, 12, 40])
async def test_many_dead_hosts_that_take_turns_hide_nothing(
    count: int, database: Database, batch_of: MakeBatch
) -> None:
    dead = [f"dead{number}" for number in range(count)]
    batch = await batch_of([*dead * 50, "alive", "alive"])
    feed = Feed(database, proven("alive"), batch.id)
    taken = []
    while (next_one := await feed.take()) is not None:
        taken.append(next_one[0])
    assert taken.count(key("alive")) == 2
    assert len(taken) - 2 <= WORKERS // 2


async def test_images_put_back_come_again(database: Database, batch_of: MakeBatch) -> None:
    names = [f"h{number}" for number in range(12)]
    batch = await batch_of(names * 40)
    places = Places(per_host=1, workers=4)
    feed = Feed(database, places, batch.id)

    async def end(host: str, _: int) -> None:
        places.leave(host, answered=False)

    assert sorted(await seqs_of(feed, end)) == list(range(batch.images))


def room(places: Places, host: str) -> int:
    """Take all the places that there are for a host."""
    count = 0
    while places.has_room(host):
        places.enter(host)
        count += 1
    return count


def test_host_has_few_places_until_it_answers() -> None:
    places = proven("known")
    assert room(places, key("known")) == PER_HOST
    assert room(places, "new") == UNPROVEN
    places.leave("new", answered=True)
    assert room(places, "new") == PER_HOST - 1


@pytest.mark.parametrize(
    "outcome",
    [
        failed(1, 0),
        failed(1, 0, ErrorCode.TIMEOUT),
        failed(1, 0, ErrorCode.HTTP_STATUS, 503),
        failed(1, 0, ErrorCode.HTTP_STATUS, 429),
    ],
)
def test_host_that_is_away_has_one_place_until_it_answers(outcome: Outcome) -> None:
    places = proven("h")
    places.enter(key("h"))
    places.leave(key("h"), answered=answered(outcome))
    assert room(places, key("h")) == 1
    places.leave(key("h"), answered=answered(done(1, 0)))
    assert room(places, key("h")) == PER_HOST


@pytest.mark.parametrize(
    "outcome",
    [
        failed(1, 0, ErrorCode.NOT_AN_IMAGE),
        failed(1, 0, ErrorCode.HTTP_STATUS, 404),
        failed(1, 0, ErrorCode.CORRUPT_IMAGE),
    ],
)
def test_host_that_answers_badly_keeps_its_places(outcome: Outcome) -> None:
    places = proven("h")
    for _ in range(10):
        places.enter(key("h"))
        places.leave(key("h"), answered=answered(outcome))
    assert room(places, key("h")) == PER_HOST


def test_hosts_in_doubt_leave_half_of_the_workers_to_the_others() -> None:
    places = proven("h")
    assert sum(room(places, f"dead{number}") for number in range(100)) == WORKERS // 2
    assert room(places, key("h")) == PER_HOST
    for number in range(WORKERS // 4):
        places.leave(f"dead{number}", answered=False)
    assert sum(room(places, f"other{number}") for number in range(100)) == WORKERS // 4


def test_hosts_at_rest_take_no_place() -> None:
    places = Places(per_host=PER_HOST, workers=WORKERS)
    for number in range(1000):
        for known in (None, True, False, None):
            places.enter(str(number))
            places.leave(str(number), answered=known)
    assert not places.doubt_is_full
    assert sum(room(places, f"new{number}") for number in range(100)) == WORKERS // 2
