"""Deliveries are due by their time, and keep every attempt."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from databases import final_event, opened_database, published
from outcomes import done
from resizer.database import Database
from resizer.models import Attempt, DeliveryStatus


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened_database(tmp_path / "resizer.db", webhook_events=final_event) as opened:
        yield opened


async def test_deliveries_are_due_by_time_and_keep_every_try(database: Database) -> None:
    batch = await published(database, 1)
    await database.record(done(batch.id, 0))
    assert await database.deliveries.next_delivery_at() == 10.0
    assert await database.deliveries.due_deliveries(9.9, limit=10) == []
    (delivery,) = await database.deliveries.due_deliveries(10.0, limit=10)
    tries = [Attempt(at=10.0, http_status=500, error="it failed", seconds=0.5)]
    tries += [Attempt(at=15.0, http_status=204, error=None, seconds=0.25)]
    await database.deliveries.record_attempt(
        delivery, tries[0], status=DeliveryStatus.PENDING, next_attempt_at=15.0
    )
    assert await database.deliveries.next_delivery_at() == 15.0
    (delivery,) = await database.deliveries.due_deliveries(15.0, limit=10)
    await database.deliveries.record_attempt(
        delivery, tries[1], status=DeliveryStatus.DELIVERED, next_attempt_at=None
    )
    (delivery,) = await database.deliveries.of_batches(batch.id)
    assert list(delivery.attempts) == tries
    assert delivery.status is DeliveryStatus.DELIVERED
    assert await database.deliveries.next_delivery_at() is None


async def test_an_event_sent_again_has_its_whole_schedule_before_it(database: Database) -> None:
    batch = await published(database, 1)
    assert await database.deliveries.send_again(batch.id, 99.0) == 0
    await database.record(done(batch.id, 0))
    (stale,) = await database.deliveries.of_batches(batch.id)
    attempt = Attempt(at=10.0, http_status=500, error="it failed", seconds=0.5)
    deliveries = database.deliveries
    await deliveries.record_attempt(stale, attempt, status=DeliveryStatus.FAILED, next_attempt_at=None)
    assert await deliveries.send_again(batch.id, 99.0) == 1
    (delivery,) = await deliveries.of_batches(batch.id)
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.PENDING, 99.0)
    assert (delivery.webhook_id, len(delivery.attempts), delivery.earlier_tries) == (stale.webhook_id, 1, 1)
    # an attempt that was under way is kept, but changes no status
    await deliveries.record_attempt(stale, attempt, status=DeliveryStatus.DELIVERED, next_attempt_at=None)
    (delivery,) = await deliveries.of_batches(batch.id)
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.PENDING, 99.0)
    assert len(delivery.attempts) == 2
