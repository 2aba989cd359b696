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
    SELECT {DELIVERY_COLUMNS} FROM deliveries
    WHERE status = 'pending' AND next_attempt_at <= ? AND host NOT IN (SELECT value FROM json_each(?))
    ORDER BY next_attempt_at, id LIMIT ?
"""
SELECT_NEXT_AT = "SELECT min(next_attempt_at) FROM deliveries WHERE status = 'pending'"
SELECT_OF_BATCH = f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE batch_id = ? ORDER BY id"
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
UPDATE_AFTER_ATTEMPT = "UPDATE deliveries SET status = ?, next_attempt_at = ? WHERE id = ?"


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

    async def of_batch(self, batch_id: int) -> list[Delivery]:
        return await self._with_attempts(SELECT_OF_BATCH, (batch_id,))

    async def record_attempt(
        self, delivery_id: int, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: float | None
    ) -> None:
        """Keep one try and what follows from it; on disk when it returns."""

        async def record(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                INSERT_ATTEMPT, (attempt.at, attempt.http_status, attempt.error, attempt.seconds, delivery_id)
            )
            await connection.execute(UPDATE_AFTER_ATTEMPT, (status, next_attempt_at, delivery_id))

        await self._writer.run(record)

    async def _with_attempts(self, statement: str, values: tuple[Any, ...]) -> list[Delivery]:
        rows = list(await self._reader.fetch(statement, values))
        ids = json.dumps([row["id"] for row in rows])
        attempts: dict[int, list[Attempt]] = {}
        for row in await self._reader.fetch(SELECT_ATTEMPTS, (ids,)):
            attempts.setdefault(row["delivery_id"], []).append(attempt_from(row))
        return [delivery_from(row, tuple(attempts.get(row["id"], ()))) for row in rows]
