"""Record what became of images, set them back, cancel them; and give their request its final status."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiosqlite

from resizer.database.batch_queries import SELECT_BATCH_BY_ID
from resizer.database.reader import rows_of
from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.database.writer import Writer
from resizer.events import FilesUnused, RequestFinished, RequestsChanged
from resizer.models import Batch, ImageStatus, Outcome
from resizer.support.coalescer import Coalescer
from resizer.support.in_flight import InFlight

logger = logging.getLogger(__name__)

#: images cancelled at once; others can write in between
CANCELLED_AT_ONCE = 10_000
#: outcomes written by one operation; keeps it below some tens of milliseconds
MOST_TOGETHER = 256
#: seconds for which an outcome waits for others, while more images are in flight
GATHER = 0.05
ENOUGH = 8  # outcomes that wait for no further ones, so that they do not hold up workers

RECORD_OUTCOME = """
    UPDATE images SET status = ?, attempts = ?, filename = ?, format = ?, width = ?, height = ?,
        input_bytes = ?, output_bytes = ?, error_code = ?, error_message = ?, error_http_status = ?,
        digest = ?, etag = ?, last_modified = ?, location = ?, asked_at = ?,
        url_key = iif(?, url_key(url), NULL)
    WHERE batch_id = ? AND seq = ? AND status = 'pending'
"""
#: whether an image uses the file is looked at before it is deleted
NOTE_FILE = "INSERT OR IGNORE INTO orphans (filename) VALUES (?)"
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
#: cancels none where the batch was reopened concurrently
CANCEL_IMAGES = f"""
    UPDATE images SET status = 'cancelled'
    WHERE batch_id = :batch AND status = 'pending' AND seq IN (
        SELECT seq FROM images WHERE batch_id = :batch AND status = 'pending' LIMIT {CANCELLED_AT_ONCE})
        AND EXISTS (SELECT 1 FROM batches WHERE id = :batch AND cancelling)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """A webhook event to write with the final status that it reports."""

    webhook_id: str
    url: str
    #: host and port of the URL: receivers are limited by it
    host: str
    body: str
    #: seconds since the epoch
    first_attempt_at: float


#: makes the webhook events of a batch that has just got its final status
WebhookEvents = Callable[[Batch], Iterable[NewDelivery]]


class Outcomes:
    """Writes the status of images, and of the batches whose last pending image it was."""

    def __init__(self, writer: Writer, webhook_events: WebhookEvents, in_flight: InFlight) -> None:
        self._writer = writer
        self._webhook_events = webhook_events
        self._coalescer = Coalescer(
            self._record_all, in_flight=in_flight, max_items=MOST_TOGETHER, max_wait=GATHER, enough=ENOUGH
        )

    async def aclose(self) -> None:
        """Record the outcomes that still wait for others."""
        await self._coalescer.aclose()

    def record(self, outcome: Outcome) -> asyncio.Future[None]:
        """Record what became of an image; outcomes that arrive together are committed together.

        An image that is no longer pending, because it was cancelled, keeps its status.
        """
        return self._coalescer.submit(outcome)

    async def _record_all(self, outcomes: Sequence[Outcome]) -> list[Exception | None]:
        """Record outcomes in one operation; where it fails, each alone. Returns each one's error, if any."""
        error = await self._error_of(outcomes)
        if error is None or len(outcomes) == 1:
            return [error] * len(outcomes)
        logger.debug("cannot record %d outcomes together: %s; recording each alone", len(outcomes), error)
        return await asyncio.gather(*(self._error_of([outcome]) for outcome in outcomes))

    async def _error_of(self, outcomes: Sequence[Outcome]) -> Exception | None:
        try:
            await self._writer.run(partial(self._write, outcomes=outcomes), outcomes=len(outcomes))
        except Exception as error:  # noqa: BLE001 - returned
            return error
        return None

    async def reopen(self, batch_id: int, *, lost: Collection[str] = ()) -> tuple[Batch | None, int]:
        """Set failed and cancelled images of a batch, and those whose file is lost, back to pending.

        Returns the batch afterwards, None where it was deleted, and the number of images set back.
        """

        async def reopen(connection: aiosqlite.Connection) -> tuple[Batch | None, int]:
            if not await rows_of(connection, SELECT_BATCH_BY_ID, (batch_id,)):
                return None, 0
            images = await connection.execute(REOPEN_IMAGES, (batch_id, json.dumps([*lost])))
            if images.rowcount:
                await connection.execute(REOPEN_BATCH, (batch_id,))
                self._changed(batch_id)
            (row,) = await rows_of(connection, SELECT_BATCH_BY_ID, (batch_id,))
            return batch_from(row), images.rowcount

        return await self._writer.run(reopen)

    async def begin_cancel(self, batch_id: int) -> bool:
        """Note on disk that a batch is to be cancelled; False where it is final or deleted."""
        return await self._writer.execute(BEGIN_CANCEL, (batch_id,)) > 0

    async def cancel_some(self, batch_id: int) -> int:
        """Cancel some pending images of a batch after `begin_cancel`; returns how many."""

        async def cancel(connection: aiosqlite.Connection) -> int:
            images = await connection.execute(CANCEL_IMAGES, {"batch": batch_id})
            if images.rowcount:
                self._changed(batch_id)
                await self._finish(connection, [batch_id])
            return images.rowcount

        return await self._writer.run(cancel)

    async def _write(self, connection: aiosqlite.Connection, outcomes: Sequence[Outcome]) -> None:
        recorded = await connection.executemany(RECORD_OUTCOME, map(_values_of, outcomes))
        if recorded.rowcount < len(outcomes):
            # some images were cancelled or deleted, so that perhaps no image uses their files
            names = [(outcome.compressed.filename,) for outcome in outcomes if outcome.compressed]
            await connection.executemany(NOTE_FILE, names)
            self._writer.publish_after_commit(FilesUnused())
        batch_ids = {outcome.batch_id for outcome in outcomes}
        self._changed(*batch_ids)
        await self._finish(connection, batch_ids)

    async def _finish(self, connection: aiosqlite.Connection, batch_ids: Collection[int]) -> None:
        """Give batches without a pending image their final status, and write its webhook events with it."""
        finished = await rows_of(connection, FINISH_BATCHES, (time.time(), json.dumps([*batch_ids])))
        for batch in map(batch_from, finished):
            deliveries = [
                (batch.id, event.webhook_id, event.url, event.host, event.body, event.first_attempt_at)
                for event in self._webhook_events(batch)
            ]
            await connection.executemany(INSERT_DELIVERY, deliveries)
            self._writer.publish_after_commit(RequestFinished(batch))

    def _changed(self, *batch_ids: int) -> None:
        self._writer.publish_after_commit(RequestsChanged(frozenset(batch_ids)))


def _values_of(outcome: Outcome) -> tuple[Any, ...]:
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
