"""Webhook events that wait in the database, and every try to deliver them."""

import json
from collections.abc import Collection
from typing import Any

import aiosqlite

from resizer.database.reader import Reader
from resizer.database.rows import DELIVERY_COLUMNS, attempt_from, delivery_from
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
#: where the clock was put back: the latest try lies in the future, or there was none and the first is
#: further away than it can be
BRING_FORWARD = """
    UPDATE deliveries SET next_attempt_at = :now
    WHERE status = 'pending' AND next_attempt_at > :now + :first_delay AND coalesce(
        (SELECT max(at) FROM attempts WHERE delivery_id = deliveries.id) > :now, TRUE)
"""
#: not where it was asked for once more while the try was under way
UPDATE_AFTER_ATTEMPT = """
    UPDATE deliveries SET status = ?, next_attempt_at = ? WHERE id = ? AND next_attempt_at IS ?
"""
#: the schedule begins anew
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
        rows = await self._reader.fetch(SELECT_NEXT_AT)
        at: float | None = next(iter(rows))[0]
        return at

    async def bring_forward(self, now: float, *, first_delay: float) -> int:
        """Make due what would wait until a clock that was put back is there again; returns how many."""

        async def update(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(BRING_FORWARD, {"now": now, "first_delay": first_delay})
            return cursor.rowcount

        return await self._writer.run(update)

    async def of_batches(self, *batch_ids: int) -> list[Delivery]:
        """Return the deliveries of these batches, oldest first."""
        return await self._with_attempts(SELECT_OF_BATCHES, (json.dumps(batch_ids),))

    async def send_again(self, batch_id: int, now: float) -> int:
        """Make the latest event of a batch due at `now`, with the whole schedule before it.

        Returns to how many URLs it goes.
        """

        async def update(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(SEND_AGAIN, {"now": now, "batch": batch_id})
            return cursor.rowcount

        return await self._writer.run(update)

    async def record_attempt(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: float | None
    ) -> None:
        """Keep one try and what follows from it; on disk when it returns."""

        async def record(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                INSERT_ATTEMPT, (attempt.at, attempt.http_status, attempt.error, attempt.seconds, delivery.id)
            )
            await connection.execute(
                UPDATE_AFTER_ATTEMPT, (status, next_attempt_at, delivery.id, delivery.next_attempt_at)
            )

        await self._writer.run(record)

    async def _with_attempts(self, statement: str, values: tuple[Any, ...]) -> list[Delivery]:
        rows = list(await self._reader.fetch(statement, values))
        ids = json.dumps([row["id"] for row in rows])
        attempts: dict[int, list[Attempt]] = {}
        for row in await self._reader.fetch(SELECT_ATTEMPTS, (ids,)):
            attempts.setdefault(row["delivery_id"], []).append(attempt_from(row))
        return [delivery_from(row, tuple(attempts.get(row["id"], ()))) for row in rows]
