"""Outcomes give images their status, and requests their final one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from databases import final_event, opened_database, published, state
from outcomes import done, failed
from resizer.database import Database, NewDelivery
from resizer.database.outcomes import ENOUGH
from resizer.errors import DatabaseFailure, ErrorCode
from resizer.events import Events, FilesUnused, RequestFinished, RequestsChanged
from resizer.models import Batch, BatchStatus, Fault, Outcome
from resizer.support.in_flight import InFlight


@pytest.fixture
async def database(tmp_path: Path, events: Events) -> AsyncIterator[Database]:
    async with opened_database(tmp_path / "resizer.db", webhook_events=final_event, events=events) as opened:
        yield opened


@pytest.mark.parametrize(
    "completed, refused, status",
    [
        (3, 0, BatchStatus.COMPLETED),
        (2, 1, BatchStatus.PARTIAL),
        (0, 3, BatchStatus.FAILED),
    ],
)
async def test_last_outcome_gives_the_final_status(
    completed: int, refused: int, status: BatchStatus, database: Database
) -> None:
    batch = await published(database, 3)
    outcomes = [done(batch.id, seq) for seq in range(completed)]
    outcomes += [failed(batch.id, completed + seq) for seq in range(refused)]
    for outcome in outcomes[:-1]:
        await database.record(outcome)
        assert not (await state(database, batch)).done
    await database.record(outcomes[-1])
    ended = await state(database, batch)
    assert (ended.status, ended.completed, ended.failed, ended.pending) == (status, completed, refused, 0)
    assert (ended.input_bytes, ended.output_bytes) == (2 * completed, completed)
    assert ended.finished_at is not None


async def test_outcome_recorded_twice_counts_once(database: Database) -> None:
    batch = await published(database, 2)
    await asyncio.gather(*(database.record(done(batch.id, 0)) for _ in range(5)))
    await database.record(failed(batch.id, 0))
    now = await state(database, batch)
    assert (now.completed, now.failed, now.pending) == (1, 0, 1)


async def test_final_status_and_event_are_one_transaction(database: Database) -> None:
    batch = await published(database, 1)
    assert await database.deliveries.of_batches(batch.id) == []
    await database.record(done(batch.id, 0))
    await database.record(done(batch.id, 0))
    (delivery,) = await database.deliveries.of_batches(batch.id)
    assert json.loads(delivery.body) == {"status": "completed"}
    assert delivery.next_attempt_at == 10.0


async def test_event_that_cannot_be_written_undoes_the_final_status(tmp_path: Path) -> None:
    def broken(_: Batch) -> Iterator[NewDelivery]:
        raise RuntimeError("no event")
        yield

    async with opened_database(tmp_path / "resizer.db", webhook_events=broken) as database:
        batch = await published(database, 1)
        with pytest.raises(RuntimeError, match="no event"):
            await database.record(done(batch.id, 0))
        assert (await state(database, batch)).pending == 1


async def test_event_that_cannot_be_written_holds_up_no_other_batch(tmp_path: Path) -> None:
    doubled: set[int] = set()

    def twice(batch: Batch) -> Iterator[NewDelivery]:
        yield from final_event(batch)
        if batch.id in doubled:
            yield from final_event(batch)

    async with opened_database(tmp_path / "resizer.db", webhook_events=twice) as database:
        bad, good = await published(database, 1), await published(database, 1)
        doubled.add(bad.id)
        results = await asyncio.gather(
            database.record(done(bad.id, 0)), database.record(done(good.id, 0)), return_exceptions=True
        )
        assert [type(result) for result in results] == [DatabaseFailure, type(None)]
        assert not (await state(database, bad)).done
        assert (await state(database, good)).done


async def test_each_end_is_published_once(database: Database, events: Events) -> None:
    ended: list[Batch] = []
    events.subscribe(RequestFinished, lambda event: ended.append(event.batch))
    first, second = await published(database, 5), await published(database, 5)
    await asyncio.gather(
        *(database.record(done(batch.id, seq)) for batch in (first, second) for seq in range(5))
    )
    assert sorted(batch.id for batch in ended) == [first.id, second.id]
    assert all(batch.done for batch in ended)


async def test_subscriber_that_fails_does_not_end_the_writer(
    database: Database, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: RequestFinished) -> None:
        raise RuntimeError(f"not {event.batch.id}")

    events.subscribe(RequestFinished, broken)
    first, second = await published(database, 1), await published(database, 1)
    await database.record(done(first.id, 0))
    await database.record(done(second.id, 0))
    assert (await state(database, second)).done
    assert "cannot handle RequestFinished" in caplog.text


async def test_outcome_of_a_cancelled_image_changes_nothing_and_its_file_is_noted(
    database: Database, events: Events
) -> None:
    received: list[object] = []
    events.subscribe(FilesUnused, received.append)
    batch = await published(database, 2)
    await database.record(done(batch.id, 1))
    assert not received
    assert await database.outcomes.begin_cancel(batch.id)
    assert await database.outcomes.cancel_some(batch.id) == 1
    await database.record(done(batch.id, 0))
    now = await state(database, batch)
    assert (now.status, now.completed, now.cancelled) == (BatchStatus.CANCELLED, 1, 1)
    assert received == [FilesUnused()]
    assert await database.removal.unused(after="", limit=10) == ([f"{0:032x}.jpg"], f"{0:032x}.jpg")


async def test_every_change_of_a_batch_is_published(database: Database, events: Events) -> None:
    changed: list[frozenset[int]] = []
    events.subscribe(RequestsChanged, lambda event: changed.append(event.batch_ids))
    batch = await published(database, 2)
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: database.record(failed(batch.id, 0)),
        lambda: database.outcomes.begin_cancel(batch.id),
        lambda: database.outcomes.cancel_some(batch.id),
        lambda: database.outcomes.reopen(batch.id),
        lambda: database.removal.forget(batch.id),
    ]
    counts = []
    for step in steps:
        await step()
        counts.append(len(changed))
    assert counts == [1, 1, 2, 3, 4]
    assert set(changed) == {frozenset({batch.id})}


async def test_outcomes_wait_for_those_in_flight_and_share_an_operation(
    tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resizer.database.outcomes.GATHER", 3600)
    changed: list[RequestsChanged] = []
    events.subscribe(RequestsChanged, changed.append)
    in_flight = InFlight()
    async with opened_database(tmp_path / "resizer.db", events=events, in_flight=in_flight) as database:
        batch = await published(database, ENOUGH + 1)
        in_flight.images = 2 * ENOUGH
        waiting = [asyncio.ensure_future(database.record(done(batch.id, seq))) for seq in range(ENOUGH - 1)]
        await database.start(batch.id)
        assert not any(task.done() for task in waiting)
        await database.record(done(batch.id, ENOUGH - 1))
        await asyncio.gather(*waiting)
        assert changed == [RequestsChanged(frozenset({batch.id}))]
        in_flight.images = 1
        await database.record(done(batch.id, ENOUGH))
        assert (await state(database, batch)).done


async def test_outcome_that_cannot_be_written_fails_alone(database: Database) -> None:
    batch = await published(database, 3)
    fault = Fault(code=ErrorCode.CONNECT, message="\udcff")
    bad = Outcome(batch_id=batch.id, seq=1, attempts=1, fault=fault)
    results = await asyncio.gather(
        database.record(done(batch.id, 0)),
        database.record(bad),
        database.record(done(batch.id, 2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), UnicodeEncodeError, type(None)]
    assert (await state(database, batch)).completed == 2


async def test_reopened_batch_has_its_failed_images_to_do(database: Database) -> None:
    batch = await published(database, 3)
    for outcome in (done(batch.id, 0), failed(batch.id, 1), failed(batch.id, 2)):
        await database.record(outcome)
    again, images = await database.outcomes.reopen(batch.id)
    assert images == 2
    assert again is not None
    assert (again.status, again.pending, again.completed, again.failed) == (BatchStatus.PROCESSING, 2, 1, 0)
    assert again.finished_at is None
    for seq in (1, 2):
        await database.record(done(batch.id, seq))
    assert (await state(database, batch)).status is BatchStatus.COMPLETED


async def test_batch_of_which_nothing_is_reopened_stays_as_it_is(database: Database) -> None:
    batch = await published(database, 2)
    assert await database.outcomes.reopen(batch.id) == (batch, 0)
    await database.record(done(batch.id, 0))
    await database.record(done(batch.id, 1))
    ended = await state(database, batch)
    assert await database.outcomes.reopen(batch.id) == (ended, 0)


async def test_lost_files_are_reopened_and_counted_right(database: Database) -> None:
    batch = await published(database, 2)
    outcomes = [done(batch.id, 0, size=5), done(batch.id, 1, size=7)]
    for outcome in outcomes:
        await database.record(outcome)
    assert outcomes[0].compressed is not None
    again, _ = await database.outcomes.reopen(batch.id, lost={outcomes[0].compressed.filename})
    assert again is not None
    assert (again.pending, again.completed, again.output_bytes) == (1, 1, 7)
    await database.record(outcomes[0])
    assert (await state(database, batch)).output_bytes == 12
