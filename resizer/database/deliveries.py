"""Webhook events that wait in the database, and every attempt to deliver them."""

import json
from collections.abc import Collection
from typing import Any

import aiosqlite

from resizer.database.reader import Reader
from resizer.database.rows import DELIVERY_COLUMNS, delivery_from, plain_from
from resizer.database.writer import Writer
from resizer.models import Attempt, Delivery, DeliveryStatus

SELECT_DUE = f"""
    SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN batches b ON b.id = d.batch_id
    WHERE d.status = 'pending' AND d.next_attempt_at <= ? AND d.host NOT IN (SELECT value FROM json_each(?))
    ORDER BY d.next_attempt_at, d.id LIMIT ?
"""
SELECT_NEXT_AT = "SELECT min(next_attempt_at) FROM deliveries WHERE status = 'pending'"
SELECT_OF_BATCHES = f"""
    SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN batches b ON b.id = d.batch_id
    WHERE d.batch_id IN (SELECT value FROM json_each(?)) ORDER BY d.id
"""
SELECT_ATTEMPTS = """
    SELECT delivery_id, at, http_status, error, seconds FROM attempts
    WHERE delivery_id IN (SELECT value FROM json_each(?)) ORDER BY delivery_id, number
"""
INSERT_ATTEMPT = """
    INSERT INTO attempts (delivery_id, number, at, http_status, error, seconds)
    SELECT id, (SELECT count(*) + 1 FROM attempts WHERE delivery_id = id), ?, ?, ?, ?
    FROM deliveries WHERE id = ?
"""
#: the clock was set back where the latest attempt lies in the future, or where there was none and the first
#: is further away than the schedule allows
BRING_FORWARD = """
    UPDATE deliveries SET next_attempt_at = :now
    WHERE status = 'pending' AND next_attempt_at > :now + :first_delay AND coalesce(
        (SELECT max(at) FROM attempts WHERE delivery_id = deliveries.id) > :now, TRUE)
"""
#: changes nothing where the event was sent again during the attempt
UPDATE_AFTER_ATTEMPT = """
    UPDATE deliveries SET status = ?, next_attempt_at = ? WHERE id = ? AND next_attempt_at IS ?
"""
#: the schedule starts again
SEND_AGAIN = """
    UPDATE deliveries SET status = 'pending', next_attempt_at = :now,
        earlier_tries = (SELECT count(*) FROM attempts WHERE delivery_id = deliveries.id)
    WHERE batch_id = :batch AND webhook_id = (
        SELECT webhook_id FROM deliveries WHERE batch_id = :batch ORDER BY id DESC LIMIT 1)
"""


class Deliveries:
    """Deliveries of all batches."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def due_deliveries(
        self, now: float, *, limit: int, without_hosts: Collection[str] = ()
    ) -> list[Delivery]:
        """Return pending deliveries that are due at `now` (seconds since the epoch), oldest first."""
        return await self._with_attempts(SELECT_DUE, (now, json.dumps([*without_hosts]), limit))

    async def next_delivery_at(self) -> float | None:
        """Return when the next pending delivery is due, in seconds since the epoch."""
        ((at,),) = await self._reader.fetch(SELECT_NEXT_AT)
        return None if at is None else float(at)

    async def bring_forward(self, now: float, *, first_delay: float) -> int:
        """Make due the deliveries that a clock that was set back would delay; returns how many."""
        return await self._writer.execute(BRING_FORWARD, {"now": now, "first_delay": first_delay})

    async def of_batches(self, *batch_ids: int) -> list[Delivery]:
        """Return the deliveries of these batches, oldest first."""
        return await self._with_attempts(SELECT_OF_BATCHES, (json.dumps(batch_ids),))

    async def send_again(self, batch_id: int, now: float) -> int:
        """Make the latest event of a batch due at `now` and start its schedule again.

        Returns the number of URLs that it is sent to.
        """
        return await self._writer.execute(SEND_AGAIN, {"now": now, "batch": batch_id})

    async def record_attempt(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: float | None
    ) -> None:
        """Record one attempt and the delivery's status after it."""

        async def record(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                INSERT_ATTEMPT, (attempt.at, attempt.http_status, attempt.error, attempt.seconds, delivery.id)
            )
            await connection.execute(
                UPDATE_AFTER_ATTEMPT, (status, next_attempt_at, delivery.id, delivery.next_attempt_at)
            )

        await self._writer.run(record)

    async def _with_attempts(self, statement: str, values: tuple[Any, ...]) -> list[Delivery]:
        rows = await self._reader.fetch(statement, values)
        ids = json.dumps([row["id"] for row in rows])
        attempts: dict[int, list[Attempt]] = {}
        for row in await self._reader.fetch(SELECT_ATTEMPTS, (ids,)):
            attempts.setdefault(row["delivery_id"], []).append(plain_from(Attempt, row))
        return [delivery_from(row, tuple(attempts.get(row["id"], ()))) for row in rows]
