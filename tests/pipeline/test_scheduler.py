import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from outcomes import MakeBatch
from resizer.database import Database
from resizer.errors import DatabaseFailure
from resizer.events import Events
from resizer.models import BatchStatus, ImageStatus, Outcome, Task
from resizer.pipeline.image_cursor import ImageCursor
from resizer.storage.claims import FileClaims
from scheduling import PATIENCE, Bench, Ends, scheduling


async def test_small_batch_is_not_stuck_behind_a_large_one(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    large = await batch_of([f"h{number}" for number in range(400)])
    small = await batch_of(["a", "b", "c"])
    async with scheduling(database, bench, workers=1) as at_work:
        at_work.begin(large.id)
        at_work.begin(small.id)
        await ends.until(2)
    assert ends.order == [small.id, large.id]
    last_of_small = max(place for place, task in enumerate(bench.begun) if task.batch_id == small.id)
    assert last_of_small <= 24  # of 400: they took turns
    assert len(bench.begun) == 403


async def test_hanging_host_does_not_hold_up_the_others(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.gates["hangs"] = asyncio.Event()
    mixed = await batch_of(["hangs"] * 300 + ["fine"] * 100)
    other = await batch_of(["fine"] * 20)
    async with scheduling(database, bench, workers=8) as at_work:
        at_work.begin(mixed.id)
        at_work.begin(other.id)
        await bench.until(2 + 100 + 20)
        assert sum("hangs" in task.url for task in bench.begun) == 2
        await ends.until(1)
        bench.gates["hangs"].set()
        await ends.until(2)
    assert ends.order == [other.id, mixed.id]
    assert len({(task.batch_id, task.seq) for task in bench.begun}) == len(bench.begun) == 420


async def test_images_that_are_fetched_keep_no_place_at_their_host(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    compressing = bench.compressing = asyncio.Event()
    batch = await batch_of(["h"] * 20)
    async with scheduling(database, bench, workers=12) as at_work:
        at_work.begin(batch.id)
        await bench.until(12)
        compressing.set()
        await ends.until(1)
    assert len(bench.begun) == 20


async def test_fault_of_the_service_fails_the_image_and_not_the_batch(
    database: Database, events: Events, batch_of: MakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.faults = {1}
    batch = await batch_of(["a", "b", "c"])
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        await ends.until(1)
    ended = await database.batch_by_id(batch.id)
    assert ended is not None
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.PARTIAL, 2, 1)
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize("fault", [RuntimeError("can't start new thread"), OSError(24, "no"), MemoryError()])
async def test_image_that_lacks_something_of_this_machine_says_so(
    fault: Exception, database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.faults, bench.fault = {0}, fault
    batch = await batch_of(["a"])
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        await ends.until(1)
    (image,) = await database.images(batch.id, after=-1, limit=1)
    assert image.fault is not None
    assert image.fault.code == "storage"
    assert "limit of its machine" in image.fault.message


async def test_stop_begins_no_further_image_and_records_those_in_flight(
    database: Database, batch_of: MakeBatch
) -> None:
    bench = Bench()
    bench.gates["slow"] = asyncio.Event()
    batch = await batch_of(["slow"] * 52)
    async with scheduling(database, bench, workers=4) as at_work:
        at_work.begin(batch.id)
        await bench.until(2)
        at_work.stop()
        bench.gates["slow"].set()
    assert len(bench.begun) == 2
    left = await database.batch_by_id(batch.id)
    assert left is not None
    assert (left.completed, left.pending) == (2, 50)


async def test_images_that_outlast_the_grace_wait_on_disk_and_are_resumed(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench = Bench()
    bench.gates["hangs"] = asyncio.Event()
    batch = await batch_of(["hangs", "fine"])
    async with scheduling(database, bench, grace=0) as at_work:
        at_work.begin(batch.id)
        await bench.until(2)
    await database.start(batch.id)  # whatever was handed to the writer before is through with this
    left = await database.batch_by_id(batch.id)
    assert left is not None
    assert left.pending >= 1
    again, ends = Bench(), Ends(events)
    async with scheduling(database, again) as at_work:
        at_work.begin(batch.id)
        await ends.until(1)
    assert len(again.begun) == left.pending


async def test_images_set_back_while_others_are_in_flight_are_done_once_more(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    """They are looked for at the end, so that no image in flight is mistaken for one of them."""
    bench, ends = Bench(), Ends(events)
    bench.gates["slow"] = asyncio.Event()
    bench.failing.add(1)
    batch = await batch_of(["slow", "fine", "slow", "fine"])
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        await bench.until(4)
        while not (await database.images(batch.id, limit=1, status=ImageStatus.FAILED)):
            await database.start(batch.id)  # is through after what was handed to the writer before
        bench.failing.clear()
        _, images = await database.outcomes.reopen(batch.id)
        assert images == 1
        at_work.begin(batch.id)
        bench.gates["slow"].set()
        await ends.until(1)
        assert sorted(task.seq for task in bench.begun) == [0, 1, 1, 2, 3]
    ended = await database.batch_by_id(batch.id)
    assert ended is not None
    assert ended.status is BatchStatus.COMPLETED


async def test_ended_batch_can_be_begun_again_at_once(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.failing.update({0, 1, 2})
    batch = await batch_of(["a", "b", "c"])
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        for round_ in range(1, 4):
            await ends.until(round_)
            bench.failing.discard(round_ - 1)
            await database.outcomes.reopen(batch.id)
            at_work.begin(batch.id)
        await ends.until(4)
    ended = await database.batch_by_id(batch.id)
    assert ended is not None
    assert ended.status is BatchStatus.COMPLETED
    assert len(bench.begun) == 3 + 3 + 2 + 1


async def test_batch_is_processing_from_its_first_image_on(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.gates["slow"] = asyncio.Event()
    batch = await batch_of(["slow"])
    assert batch.status is BatchStatus.PENDING
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        await bench.until(1)
        begun = await database.batch_by_id(batch.id)
        assert begun is not None
        assert begun.status is BatchStatus.PROCESSING
        assert begun.started_at is not None
        bench.gates["slow"].set()
        await ends.until(1)


async def test_many_dead_hosts_do_not_hold_up_one_that_nobody_knows_yet(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    """Six for each worker, in a batch that came before."""
    bench, ends = Bench(), Ends(events)
    dead = [f"dead{number}" for number in range(12)]
    for name in dead:
        bench.gates[name] = asyncio.Event()
    before = await batch_of(dead * 3)
    new = await batch_of(["new"] * 10)
    async with scheduling(database, bench, workers=2) as at_work:
        at_work.begin(before.id)
        await bench.until(2 * len(dead))
        at_work.begin(new.id)
        await ends.until(1)
        assert ends.order == [new.id]
        for gate in bench.gates.values():
            gate.set()
        await ends.until(2)


async def test_more_hosts_than_workers_that_hang_hold_up_nobody(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    hanging = [f"hangs{number}" for number in range(5)]
    for name in hanging:
        bench.gates[name] = asyncio.Event()
    batch = await batch_of([*hanging, *["fine"] * 30])
    async with scheduling(database, bench, workers=2) as at_work:
        at_work.begin(batch.id)
        await bench.until(35)
        for gate in bench.gates.values():
            gate.set()
        await ends.until(1)
    ended = await database.batch_by_id(batch.id)
    assert ended is not None
    assert ended.completed == 35


async def test_a_host_that_answered_before_and_hangs_holds_up_nobody(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    known = await batch_of(["known", "fine"])
    batch = await batch_of([*["known"] * 2, *["fine"] * 30])
    async with scheduling(database, bench, workers=2) as at_work:
        at_work.begin(known.id)
        await ends.until(1)
        bench.gates["known"] = asyncio.Event()
        at_work.begin(batch.id)
        await bench.until(2 + 32)
        bench.gates["known"].set()
        await ends.until(2)
    assert ends.order == [known.id, batch.id]


async def test_no_image_is_begun_while_the_engine_has_all_it_can_compress(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.has_room.clear()
    first, second = await batch_of(["a"]), await batch_of(["b", "c"])
    async with scheduling(database, bench) as at_work:
        at_work.begin(first.id)
        at_work.begin(second.id)
        await database.start(first.id)  # gives the workers a turn of the loop
        assert not bench.begun
        bench.has_room.set()
        await ends.until(2)
    assert len(bench.begun) == 3


async def test_images_set_back_are_begun_though_their_batch_waits_for_another_host(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    bench, ends = Bench(), Ends(events)
    bench.gates["hangs"] = asyncio.Event()
    bench.failing.add(5)
    batch = await batch_of(["hangs"] * 5 + ["fine"])
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        while not await database.images(batch.id, limit=1, status=ImageStatus.FAILED):
            await database.start(batch.id)
        bench.failing.clear()
        await database.outcomes.reopen(batch.id)
        at_work.begin(batch.id)
        await bench.until(4)
        assert [task.seq for task in bench.begun].count(5) == 2
        bench.gates["hangs"].set()
        await ends.until(1)
    assert len(bench.begun) == 7


async def test_room_that_grows_is_used_by_many_small_batches(
    database: Database, events: Events, batch_of: MakeBatch
) -> None:
    """A host that has answered takes more images, though the first ones left only two places."""
    bench, ends = Bench(), Ends(events)
    first = bench.gates["h"] = asyncio.Event()
    batches = [await batch_of([f"h/{number}"]) for number in range(20)]
    async with scheduling(database, bench, per_host=8) as at_work:
        for batch in batches:
            at_work.begin(batch.id)
        async with asyncio.timeout(PATIENCE):
            while len(at_work._stalled) < 18:  # noqa: ASYNC110, SLF001 - no event tells of it
                await asyncio.sleep(0.001)
        rest = bench.gates["h"] = asyncio.Event()
        first.set()
        async with asyncio.timeout(PATIENCE):
            await bench.until(2 + 8)
        rest.set()
        await ends.until(20)


async def test_an_image_set_back_before_its_worker_is_done_is_processed_again(
    database: Database, events: Events, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcome is on disk, and a retry has set it back, while it still counts as in flight."""
    bench, ends = Bench(), Ends(events)
    bench.gates["slow"] = asyncio.Event()
    bench.failing.add(0)
    batch = await batch_of(["fine", "slow"])
    recorded, go_on = asyncio.Event(), asyncio.Event()
    record = database.record

    async def late(outcome: Outcome) -> None:
        await record(outcome)
        if outcome.fault is not None:
            recorded.set()
            await go_on.wait()

    monkeypatch.setattr(database, "record", late)
    async with scheduling(database, bench) as at_work:
        at_work.begin(batch.id)
        await recorded.wait()
        bench.failing.clear()
        await database.outcomes.reopen(batch.id)
        at_work.begin(batch.id)
        await database.start(batch.id)  # gives the workers a turn of the loop
        bench.gates["slow"].set()
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            await ends.until(1)
    assert [task.seq for task in bench.begun].count(0) == 2


async def test_a_file_stays_claimed_until_its_outcome_is_on_disk_though_the_worker_is_cancelled(
    database: Database, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, claims = Bench(), FileClaims()
    bench.claimed = "stem"
    batch = await batch_of(["h"])
    recording, go_on = asyncio.Event(), asyncio.Event()
    record = database.record

    async def slow(outcome: Outcome) -> None:
        recording.set()
        await go_on.wait()
        await record(outcome)

    monkeypatch.setattr(database, "record", slow)

    async def stopped() -> None:
        async with scheduling(database, bench, grace=0, claims=claims) as at_work:
            at_work.begin(batch.id)
            await recording.wait()

    stopping = asyncio.create_task(stopped())
    await recording.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    with claims.deleting(["stem.jpg"]) as free:
        assert free == []
    go_on.set()
    await stopping
    with claims.deleting(["stem.jpg"]) as free:
        assert free == ["stem.jpg"]
    ended = await database.batch_by_id(batch.id)
    assert ended is not None
    assert ended.completed == 1


async def test_database_that_fails_now_and_then_strands_no_batch(
    database: Database, events: Events, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resizer.pipeline.image.RECORD_PAUSE", (0.001, 0.01))
    monkeypatch.setattr("resizer.pipeline.scheduler.READ_PAUSE", 0.001)
    bench, ends = Bench(), Ends(events)
    batches = [await batch_of([f"a{n}", f"b{n}", f"c{n}"] * 10) for n in range(3)]
    calls = itertools.count()
    for name in ("batch_by_id", "waiting", "waiting_of_host", "record", "start"):
        monkeypatch.setattr(database, name, failing_at_times(getattr(database, name), calls))
    async with scheduling(database, bench) as at_work:
        for batch in batches:
            at_work.begin(batch.id)
        await ends.until(3)
    assert sorted(ends.order) == [batch.id for batch in batches]
    assert len(bench.begun) == 90


def failing_at_times(
    method: Callable[..., Awaitable[Any]], calls: Iterator[int]
) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **options: Any) -> Any:
        match next(calls) % 5:
            case 0:
                raise DatabaseFailure("it is locked")
            case 3:
                raise RuntimeError("a fault of ours")
            case _:
                return await method(*args, **options)

    return call


async def test_a_batch_that_is_ended_before_its_turn_leaves_the_place_to_the_next(
    database: Database, events: Events, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, ends = Bench(), Ends(events)
    gate = bench.gates["h"] = asyncio.Event()
    first, second, third = [await batch_of(["h"]) for _ in range(3)]
    async with scheduling(database, bench, per_host=1) as at_work:
        at_work.begin(first.id)
        await bench.until(1)
        # each has looked at its batch when it is put aside; what is given to the writer then comes later
        for batch in (second, third):
            at_work.begin(batch.id)
            while not (found := await database.batch_by_id(batch.id)) or found.status is BatchStatus.PENDING:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        woken = ImageCursor.take

        async def take(feed: ImageCursor) -> tuple[str, Task] | None:
            if feed.batch_id == second.id:
                at_work.end(second.id)
            return await woken(feed)

        monkeypatch.setattr(ImageCursor, "take", take)
        gate.set()
        await ends.until(2)
    assert ends.order == [first.id, third.id]
