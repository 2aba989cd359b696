"""What becomes of images: settled, set back, cancelled; and the final status that follows from it."""

import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite

from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.database.writer import Writer
from resizer.errors import FileRemoved
from resizer.metrics import Metrics
from resizer.models import Batch, ImageStatus, Outcome
from resizer.naming import key_of_url

#: images cancelled at once; others can write in between
CANCELLED_AT_ONCE = 10_000

SELECT_BATCH = f"SELECT {BATCH_COLUMNS} FROM batches WHERE id = ? AND ready"
SETTLE_IMAGE = """
    UPDATE images SET status = ?, attempts = ?, filename = ?, format = ?, width = ?, height = ?,
        input_bytes = ?, output_bytes = ?, error_code = ?, error_message = ?, error_http_status = ?,
        digest = ?, etag = ?, last_modified = ?, location = ?, asked_at = ?,
        url_key = iif(?, url_key(url), NULL)
    WHERE batch_id = ? AND seq = ? AND status = 'pending'
"""
#: whether an image uses it is looked at before it goes
INSERT_ORPHAN = "INSERT OR IGNORE INTO orphans (filename) VALUES (?)"
FINISH_BATCHES = f"""
    UPDATE batches SET finished_at = ?, cancelling = 0, status = CASE
        WHEN cancelled > 0 THEN 'cancelled'
        WHEN failed = 0 THEN 'completed'
        WHEN completed = 0 THEN 'failed'
        ELSE 'partial' END
    WHERE id IN (SELECT value FROM json_each(?)) AND pending = 0 AND finished_at IS NULL AND ready
    RETURNING {BATCH_COLUMNS}
"""
INSERT_DELIVERY = """
    INSERT INTO deliveries (batch_id, webhook_id, url, host, body, next_attempt_at) VALUES (?, ?, ?, ?, ?, ?)
"""
REOPEN_IMAGES = """
    UPDATE images SET status = 'pending', attempts = 0, filename = NULL, format = NULL, width = NULL,
        height = NULL, input_bytes = NULL, output_bytes = NULL, error_code = NULL, error_message = NULL,
        error_http_status = NULL, digest = NULL, etag = NULL, last_modified = NULL, location = NULL,
        asked_at = NULL, url_key = NULL
    WHERE batch_id = ?
        AND (status IN ('failed', 'cancelled') OR filename IN (SELECT value FROM json_each(?)))
"""
REOPEN_BATCH = """
    UPDATE batches SET status = 'processing', finished_at = NULL, cancelling = 0 WHERE id = ?
"""
BEGIN_CANCEL = "UPDATE batches SET cancelling = 1 WHERE id = ? AND finished_at IS NULL AND ready"
#: none where the batch was set back meanwhile
CANCEL_IMAGES = f"""
    UPDATE images SET status = 'cancelled'
    WHERE batch_id = :batch AND status = 'pending' AND seq IN (
        SELECT seq FROM images WHERE batch_id = :batch AND status = 'pending' LIMIT {CANCELLED_AT_ONCE})
        AND EXISTS (SELECT 1 FROM batches WHERE id = :batch AND cancelling)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """A webhook event to be written with the final status that it tells of."""

    webhook_id: str
    url: str
    #: what tells receivers apart
    host: str
    body: str
    #: seconds since the epoch
    first_attempt_at: float


#: makes the webhook events of a batch that has just got its final status
WebhookEvents = Callable[[Batch], Iterable[NewDelivery]]
#: raises where the file of an outcome is gone, so that it must not be recorded
CheckFile = Callable[[str], Awaitable[None]]


class Outcomes:
    """Writes what became of images; owns the writer, since outcomes are what most is written for."""

    def __init__(self, connection: aiosqlite.Connection, announce: WebhookEvents, metrics: Metrics) -> None:
        self._announce = announce
        self.writer = Writer(connection, self._write, metrics)
        #: files that are about to be deleted: no outcome is recorded with one
        self.condemned: set[str] = set()
        #: told that a file was noted which perhaps nobody uses
        self.on_unused: Callable[[], None] | None = None

    @staticmethod
    async def prepare(connection: aiosqlite.Connection) -> None:
        """Give the writing connection what the statements here need."""
        await connection.create_function("url_key", 1, key_of_url, deterministic=True)

    async def record(self, outcome: Outcome) -> None:
        """Record what became of an image; what comes together is committed together.

        An image that is not pending any more (cancelled meanwhile) is left as it is.
        """
        await self.writer.record(outcome)

    async def settle_alone(self, outcome: Outcome, check: CheckFile) -> None:
        """Do the same in an operation of its own, in which `check` looks at the file's name first."""

        async def settle(connection: aiosqlite.Connection) -> None:
            if outcome.compressed is not None:
                await check(outcome.compressed.filename)
            await self._write(connection, [outcome])

        await self.writer.run(settle)

    async def reopen(self, batch_id: int, *, lost: Collection[str] = ()) -> tuple[Batch | None, int]:
        """Set failed and cancelled images of a batch, and those whose file is lost, back to pending.

        Returns the batch as it is then, None where it is gone, and how many images were set back.
        """

        async def reopen(connection: aiosqlite.Connection) -> tuple[Batch | None, int]:
            if not await connection.execute_fetchall(SELECT_BATCH, (batch_id,)):
                return None, 0
            images = await connection.execute(REOPEN_IMAGES, (batch_id, json.dumps([*lost])))
            if images.rowcount:
                await connection.execute(REOPEN_BATCH, (batch_id,))
                self.writer.changes(batch_id)
            return await _batch(connection, batch_id), images.rowcount

        return await self.writer.run(reopen)

    async def begin_cancel(self, batch_id: int) -> bool:
        """Note that a batch is to be cancelled, which survives a crash; False where it is final or gone."""

        async def begin(connection: aiosqlite.Connection) -> bool:
            return (await connection.execute(BEGIN_CANCEL, (batch_id,))).rowcount > 0

        return await self.writer.run(begin)

    async def cancel_some(self, batch_id: int) -> int:
        """Cancel some pending images of a batch for which `begin_cancel` was called; returns how many."""

        async def cancel(connection: aiosqlite.Connection) -> int:
            images = await connection.execute(CANCEL_IMAGES, {"batch": batch_id})
            if images.rowcount:
                self.writer.changes(batch_id)
                await self._finish(connection, [batch_id])
            return images.rowcount

        return await self.writer.run(cancel)

    async def _write(self, connection: aiosqlite.Connection, outcomes: Sequence[Outcome]) -> None:
        names = [outcome.compressed.filename for outcome in outcomes if outcome.compressed]
        for name in self.condemned.intersection(names):
            raise FileRemoved(name)
        settled = await connection.executemany(SETTLE_IMAGE, [_settled(outcome) for outcome in outcomes])
        if settled.rowcount < len(outcomes):
            # some were cancelled or deleted meanwhile: perhaps nobody uses their files
            await connection.executemany(INSERT_ORPHAN, [(name,) for name in names])
            if self.on_unused is not None:
                self.on_unused()
        batch_ids = {outcome.batch_id for outcome in outcomes}
        self.writer.changes(*batch_ids)
        await self._finish(connection, batch_ids)

    async def _finish(self, connection: aiosqlite.Connection, batch_ids: Collection[int]) -> None:
        """Give batches with no image pending their final status, and write its webhook events with it."""
        ended = await connection.execute_fetchall(FINISH_BATCHES, (time.time(), json.dumps([*batch_ids])))
        for batch in map(batch_from, ended):
            events = [
                (batch.id, event.webhook_id, event.url, event.host, event.body, event.first_attempt_at)
                for event in self._announce(batch)
            ]
            if events:
                await connection.executemany(INSERT_DELIVERY, events)
            self.writer.finishes(batch)


async def _batch(connection: aiosqlite.Connection, batch_id: int) -> Batch:
    rows: Iterable[sqlite3.Row] = await connection.execute_fetchall(SELECT_BATCH, (batch_id,))
    (row,) = rows
    return batch_from(row)


def _settled(outcome: Outcome) -> tuple[Any, ...]:
    done, fault, source = outcome.compressed, outcome.fault, outcome.source
    return (
        outcome.status,
        outcome.attempts,
        *(
            (done.filename, done.format, done.width, done.height, done.input_bytes, done.output_bytes)
            if done
            else (None,) * 6
        ),
        *((fault.code, fault.message, fault.http_status) if fault else (None,) * 3),
        *(
            (source.digest, source.etag, source.last_modified, source.location, source.asked_at)
            if source
            else (None,) * 5
        ),
        outcome.status is ImageStatus.COMPLETED and source is not None,
        outcome.batch_id,
        outcome.seq,
    )
