"""Delete requests in parts, and note the files that no image uses any more."""

import json
from collections.abc import Collection

import aiosqlite

from resizer.database.reader import Reader, rows_of
from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.database.writer import Writer
from resizer.events import FilesUnused, RequestsChanged
from resizer.models import Batch

#: images or products of a batch deleted at once; others can write in between
AT_ONCE = 5000

FORGET_BATCH = """
    UPDATE batches SET ready = 0, forgotten = 1
    WHERE id = ? AND ready AND (? IS NULL OR finished_at <= ?)
"""
DELETE_KEYS = "DELETE FROM idempotency_keys WHERE batch_id = ?"
DELETE_DELIVERIES = "DELETE FROM deliveries WHERE batch_id = ?"
SELECT_FORGOTTEN = "SELECT id FROM batches WHERE forgotten LIMIT ?"
SELECT_END_OF_PAGE = "SELECT max(seq) FROM (SELECT seq FROM images WHERE batch_id = ? ORDER BY seq LIMIT ?)"
NOTE_FILES_OF_IMAGES = """
    INSERT OR IGNORE INTO orphans (filename)
    SELECT filename FROM images WHERE batch_id = ? AND seq <= ? AND filename IS NOT NULL
"""
DELETE_IMAGES = "DELETE FROM images WHERE batch_id = ? AND seq <= ?"
DELETE_PRODUCTS = """
    DELETE FROM products WHERE batch_id = :batch AND ordinal IN (
        SELECT ordinal FROM products WHERE batch_id = :batch ORDER BY ordinal LIMIT :limit)
"""
DELETE_BATCH = "DELETE FROM batches WHERE id = ?"
NOTE_FILES = "INSERT OR IGNORE INTO orphans (filename) SELECT value FROM json_each(?)"
HAS_NOTES = "SELECT EXISTS (SELECT 1 FROM orphans)"
SELECT_NOTED = """
    SELECT filename, EXISTS (SELECT 1 FROM images i WHERE i.filename = orphans.filename) AS used
    FROM orphans WHERE filename > ? ORDER BY filename LIMIT ?
"""
SELECT_UNUSED_AMONG = """
    SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM images WHERE filename = value)
"""
FORGET_NOTES = "DELETE FROM orphans WHERE filename IN (SELECT value FROM json_each(?))"
#: a noted file is about to be deleted already
SELECT_UNNAMED = """
    SELECT value FROM json_each(?)
    WHERE NOT EXISTS (SELECT 1 FROM images WHERE filename = value)
        AND NOT EXISTS (SELECT 1 FROM orphans WHERE filename = value)
"""
SELECT_COLLECTS_SINCE = "SELECT since FROM collection"
UPDATE_COLLECTS_SINCE = "UPDATE collection SET since = ?"
SELECT_ENDED_BEFORE = f"""
    SELECT {BATCH_COLUMNS} FROM batches WHERE finished_at <= ? AND ready ORDER BY finished_at LIMIT ?
"""
SELECT_FIRST_END = "SELECT min(finished_at) FROM batches WHERE finished_at IS NOT NULL AND ready"


class Removal:
    """Deletes batches, and keeps the notes of files that perhaps no image uses.

    The note of a file outlives the process: it is forgotten once the file is deleted or an image uses it.
    """

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def forget(self, batch_id: int, *, ended_before: float | None = None) -> bool:
        """Hide a batch from all queries; False where it is hidden already, or had not ended by then."""

        async def forget(connection: aiosqlite.Connection) -> bool:
            hidden = await connection.execute(FORGET_BATCH, (batch_id, ended_before, ended_before))
            if not hidden.rowcount:
                return False
            await connection.execute(DELETE_KEYS, (batch_id,))
            await connection.execute(DELETE_DELIVERIES, (batch_id,))
            self._writer.publish_after_commit(RequestsChanged(frozenset((batch_id,))))
            return True

        return await self._writer.run(forget)

    async def forgotten(self, *, limit: int = 100) -> list[int]:
        """Return hidden batches whose rows are still to be deleted."""
        return [batch_id for (batch_id,) in await self._reader.fetch(SELECT_FORGOTTEN, (limit,))]

    async def delete_some(self, batch_id: int) -> bool:
        """Delete a part of a hidden batch, noting its files; returns whether there is more."""

        async def delete(connection: aiosqlite.Connection) -> bool:
            ((last,),) = await rows_of(connection, SELECT_END_OF_PAGE, (batch_id, AT_ONCE))
            if last is not None:
                await connection.execute(NOTE_FILES_OF_IMAGES, (batch_id, last))
                await connection.execute(DELETE_IMAGES, (batch_id, last))
                return True
            products = await connection.execute(DELETE_PRODUCTS, {"batch": batch_id, "limit": AT_ONCE})
            if products.rowcount:
                return True
            await connection.execute(DELETE_BATCH, (batch_id,))
            return False

        return await self._writer.run(delete)

    async def note(self, names: Collection[str]) -> None:
        """Note files that perhaps no image uses."""

        async def insert(connection: aiosqlite.Connection) -> None:
            await connection.execute(NOTE_FILES, (json.dumps([*names]),))
            self._writer.publish_after_commit(FilesUnused())

        await self._writer.run(insert)

    async def has_noted(self) -> bool:
        """Return whether files are noted, by this process or another."""
        ((found,),) = await self._reader.fetch(HAS_NOTES)
        return bool(found)

    async def unused(self, *, after: str, limit: int) -> tuple[list[str], str | None]:
        """Look at some noted files behind `after`; return the unused ones, and the last one looked at.

        The last one is None at the end. The note of a file that an image uses is forgotten.
        """

        async def look(connection: aiosqlite.Connection) -> tuple[list[str], str | None]:
            rows = await rows_of(connection, SELECT_NOTED, (after, limit))
            used = [row["filename"] for row in rows if row["used"]]
            if used:
                await connection.execute(FORGET_NOTES, (json.dumps(used),))
            unused = [row["filename"] for row in rows if not row["used"]]
            return unused, rows[-1]["filename"] if rows else None

        return await self._writer.run(look)

    async def unused_among(self, names: Collection[str]) -> list[str]:
        """Return those of the files that no image uses, by every outcome recorded before this call."""

        async def look(connection: aiosqlite.Connection) -> list[str]:
            found = await rows_of(connection, SELECT_UNUSED_AMONG, (json.dumps([*names]),))
            return [name for (name,) in found]

        return await self._writer.run(look)

    async def forget_notes(self, names: Collection[str]) -> None:
        """Forget the notes of files that were deleted."""
        await self._writer.execute(FORGET_NOTES, (json.dumps([*names]),))

    async def unnamed(self, names: Collection[str]) -> list[str]:
        """Return those of the files that no image names and that are not noted."""
        return [name for (name,) in await self._reader.fetch(SELECT_UNNAMED, (json.dumps([*names]),))]

    async def collects_since(self) -> float | None:
        """Return the time since which an unnamed file is a crash's leftover, in seconds since the epoch.

        None where that is not decided yet, as in a new database.
        """
        ((since,),) = await self._reader.fetch(SELECT_COLLECTS_SINCE)
        return None if since is None else float(since)

    async def collect_since(self, at: float) -> None:
        """Keep files written before then (seconds since the epoch): they may be another database's."""
        await self._writer.execute(UPDATE_COLLECTS_SINCE, (at,))

    async def ended_before(self, at: float, *, limit: int) -> list[Batch]:
        """Return batches that ended before then (seconds since the epoch), the earliest first."""
        return [batch_from(row) for row in await self._reader.fetch(SELECT_ENDED_BEFORE, (at, limit))]

    async def first_end(self) -> float | None:
        """Return when the first of all batches ended, in seconds since the epoch."""
        ((at,),) = await self._reader.fetch(SELECT_FIRST_END)
        return None if at is None else float(at)
