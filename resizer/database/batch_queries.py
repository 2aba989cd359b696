"""Look up batches: one by its id, pages of them, and how many there are."""

import time
from collections.abc import Mapping

from resizer.database.imports import SUM_PENDING, find_by_key
from resizer.database.reader import Reader
from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.models import Batch, BatchStatus

#: the highest id that a row of SQLite can have
MAX_ID = 2**63 - 1

SELECT_BATCH = f"SELECT {BATCH_COLUMNS} FROM batches WHERE request_id = ? AND ready"
SELECT_BATCH_BY_ID = f"SELECT {BATCH_COLUMNS} FROM batches WHERE id = ? AND ready"
SELECT_LATEST_BY_DIGEST = f"""
    SELECT {BATCH_COLUMNS} FROM batches WHERE digest = ? AND ready ORDER BY id DESC LIMIT 1
"""
SELECT_UNFINISHED = f"""
    SELECT {BATCH_COLUMNS} FROM batches WHERE finished_at IS NULL AND ready AND id > ? ORDER BY id LIMIT ?
"""
SELECT_NEWEST = f"""
    SELECT {BATCH_COLUMNS} FROM batches
    WHERE ready AND id < ? ORDER BY id DESC LIMIT ?
"""
SELECT_NEWEST_WITH_STATUS = f"""
    SELECT {BATCH_COLUMNS} FROM batches
    WHERE ready AND status = ? AND id < ? ORDER BY id DESC LIMIT ?
"""
COUNT_BY_STATUS = "SELECT status, count(*) FROM batches WHERE ready GROUP BY status"


class BatchQueries:
    """What can be asked of batches."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def batch(self, request_id: str) -> Batch | None:
        return await self._one_batch(SELECT_BATCH, request_id)

    async def batch_by_id(self, batch_id: int) -> Batch | None:
        return await self._one_batch(SELECT_BATCH_BY_ID, batch_id)

    async def latest_with_digest(self, digest: str) -> Batch | None:
        return await self._one_batch(SELECT_LATEST_BY_DIGEST, digest)

    async def batch_with_key(self, key: str, digest: str) -> Batch | None:
        """Return the batch made with this Idempotency-Key. Raises `IdempotencyConflict` on other content."""
        return await self._reader.run(lambda connection: find_by_key(connection, key, digest, time.time()))

    async def unfinished(self, *, after: int = 0, limit: int = 100) -> list[Batch]:
        """Return batches without a final status, oldest first."""
        return [batch_from(row) for row in await self._reader.fetch(SELECT_UNFINISHED, (after, limit))]

    async def newest(
        self, *, before: int | None = None, limit: int, status: BatchStatus | None = None
    ) -> list[Batch]:
        """Return batches with a lower id than `before`, newest first."""
        end = MAX_ID if before is None else before
        if status is None:
            rows = await self._reader.fetch(SELECT_NEWEST, (end, limit))
        else:
            rows = await self._reader.fetch(SELECT_NEWEST_WITH_STATUS, (status, end, limit))
        return [batch_from(row) for row in rows]

    async def count_by_status(self) -> Mapping[BatchStatus, int]:
        """Return how many batches there are of each status."""
        return {BatchStatus(status): count for status, count in await self._reader.fetch(COUNT_BY_STATUS)}

    async def pending_images(self) -> int:
        """Return how many images of all batches are pending."""
        ((count,),) = await self._reader.fetch(SUM_PENDING)
        return int(count)

    async def _one_batch(self, statement: str, value: str | int) -> Batch | None:
        for row in await self._reader.fetch(statement, (value,)):
            return batch_from(row)
        return None
