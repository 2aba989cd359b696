"""Deleting batches bit by bit, and the files that nobody uses any more."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Collection, Iterable

import aiosqlite

from resizer.database.outcomes import Outcomes
from resizer.database.reader import Reader
from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.errors import FileRemoved
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
INSERT_ORPHANS = """
    INSERT OR IGNORE INTO orphans (filename)
    SELECT filename FROM images WHERE batch_id = ? AND seq <= ? AND filename IS NOT NULL
"""
DELETE_IMAGES = "DELETE FROM images WHERE batch_id = ? AND seq <= ?"
DELETE_PRODUCTS = """
    DELETE FROM products WHERE batch_id = :batch AND ordinal IN (
        SELECT ordinal FROM products WHERE batch_id = :batch ORDER BY ordinal LIMIT :limit)
"""
DELETE_BATCH = "DELETE FROM batches WHERE id = ?"
SELECT_ORPHANS = """
    SELECT filename, EXISTS (SELECT 1 FROM images i WHERE i.filename = orphans.filename) AS used
    FROM orphans WHERE filename > ? ORDER BY filename LIMIT ?
"""
SELECT_UNUSED_AMONG = """
    SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM images WHERE filename = value)
"""
DELETE_ORPHANS = "DELETE FROM orphans WHERE filename IN (SELECT value FROM json_each(?))"
SELECT_ENDED_BEFORE = f"""
    SELECT {BATCH_COLUMNS} FROM batches WHERE finished_at <= ? AND ready ORDER BY finished_at LIMIT ?
"""
#: files about to be removed are as good as gone
SELECT_UNNAMED = """
    SELECT value FROM json_each(?)
    WHERE NOT EXISTS (SELECT 1 FROM images WHERE filename = value)
        AND NOT EXISTS (SELECT 1 FROM orphans WHERE filename = value)
"""
SELECT_COLLECTS_SINCE = "SELECT since FROM collection"
UPDATE_COLLECTS_SINCE = "UPDATE collection SET since = ?"
NOTE_ORPHANS = "INSERT OR IGNORE INTO orphans (filename) SELECT value FROM json_each(?)"
HAS_ORPHANS = "SELECT EXISTS (SELECT 1 FROM orphans)"
SELECT_FIRST_END = "SELECT min(finished_at) FROM batches WHERE finished_at IS NOT NULL AND ready"


class Removal:
    """Batches on their way out, and their files.

    A file goes in two steps. `condemn` names files that no image uses, in a transaction; from then on no
    outcome with such a file is recorded. Once they are deleted, `removed` says so. Tasks that were under way
    meanwhile may still come with such a file: theirs are looked for before they are recorded.
    """

    def __init__(self, reader: Reader, outcomes: Outcomes) -> None:
        self._reader = reader
        self._writer = outcomes.writer
        self._condemned = outcomes.condemned
        #: loop time
        self._last_removal = -math.inf
        #: tells whether a file is there; set by whoever removes files
        self.file_exists: Callable[[str], Awaitable[bool]] | None = None

    async def forget(self, batch_id: int, *, ended_before: float | None = None) -> bool:
        """Let nobody see a batch any more; False where nobody does already, or it has not ended by then."""

        async def forget(connection: aiosqlite.Connection) -> bool:
            found = await connection.execute(FORGET_BATCH, (batch_id, ended_before, ended_before))
            if not found.rowcount:
                return False
            await connection.execute(DELETE_KEYS, (batch_id,))
            await connection.execute(DELETE_DELIVERIES, (batch_id,))
            self._writer.changes(batch_id)
            return True

        return await self._writer.run(forget)

    async def forgotten(self, *, limit: int = 100) -> list[int]:
        """Return batches of which something is left to delete."""
        return [batch_id for (batch_id,) in await self._reader.fetch(SELECT_FORGOTTEN, (limit,))]

    async def delete_some(self, batch_id: int) -> bool:
        """Delete a part of a forgotten batch, noting its files; returns whether there is more."""

        async def delete(connection: aiosqlite.Connection) -> bool:
            ((last,),) = await connection.execute_fetchall(SELECT_END_OF_PAGE, (batch_id, AT_ONCE))
            if last is not None:
                await connection.execute(INSERT_ORPHANS, (batch_id, last))
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
            await connection.execute(NOTE_ORPHANS, (json.dumps([*names]),))

        await self._writer.run(insert)

    async def unnamed(self, names: Collection[str]) -> list[str]:
        """Return those of the files that no image names and that are not noted yet."""
        return [name for (name,) in await self._reader.fetch(SELECT_UNNAMED, (json.dumps([*names]),))]

    async def collects_since(self) -> float | None:
        """Return from when on files that no image names are a crash's, in seconds since the epoch.

        None where that was not decided yet, as in a new database.
        """
        ((since,),) = await self._reader.fetch(SELECT_COLLECTS_SINCE)
        return None if since is None else float(since)

    async def collect_since(self, at: float) -> None:
        """Note that files written before then (seconds since the epoch) may be another database's."""

        async def update(connection: aiosqlite.Connection) -> None:
            await connection.execute(UPDATE_COLLECTS_SINCE, (at,))

        await self._writer.run(update)

    async def has_noted(self) -> bool:
        """Return whether files are noted, by this process or another."""
        ((found,),) = await self._reader.fetch(HAS_ORPHANS)
        return bool(found)

    async def unused(self, *, after: str, limit: int) -> tuple[list[str], str | None]:
        async def look(connection: aiosqlite.Connection) -> tuple[list[str], str | None]:
            rows = list(await connection.execute_fetchall(SELECT_ORPHANS, (after, limit)))
            used = [row["filename"] for row in rows if row["used"]]
            await connection.execute(DELETE_ORPHANS, (json.dumps(used),))
            unused = [row["filename"] for row in rows if not row["used"]]
            return unused, rows[-1]["filename"] if rows else None

        return await self._writer.run(look)

    async def unused_among(self, names: Collection[str]) -> list[str]:
        """Return those of the files that no image uses, once every commit before is done."""

        async def look(connection: aiosqlite.Connection) -> list[str]:
            found = await connection.execute_fetchall(SELECT_UNUSED_AMONG, (json.dumps([*names]),))
            return [name for (name,) in found]

        return await self._writer.run(look)

    async def forget_notes(self, names: Collection[str]) -> None:
        async def forget(connection: aiosqlite.Connection) -> None:
            await connection.execute(DELETE_ORPHANS, (json.dumps([*names]),))

        await self._writer.run(forget)

    async def condemn(self, *, after: str, limit: int) -> tuple[list[str], str | None]:
        """Look at some noted files behind `after`; returns those that no image uses, and the last of all.

        The last is None where there was none. Until `removed` no outcome with such a file is recorded.
        """

        async def condemn(connection: aiosqlite.Connection) -> tuple[list[str], str | None]:
            rows = list(await connection.execute_fetchall(SELECT_ORPHANS, (after, limit)))
            unused = [row["filename"] for row in rows if not row["used"]]
            used = [row["filename"] for row in rows if row["used"]]
            await connection.execute(DELETE_ORPHANS, (json.dumps(used),))
            self._condemned.update(unused)
            self._writer.if_undone(lambda: self._condemned.difference_update(unused))
            return unused, rows[-1]["filename"] if rows else None

        return await self._writer.run(condemn)

    async def removed(self, names: Iterable[str], *, kept: Iterable[str] = ()) -> None:
        """Note that condemned files are deleted; those `kept` could not be, and are tried again later."""
        gone = [*names]

        async def remove(connection: aiosqlite.Connection) -> None:
            await connection.execute(DELETE_ORPHANS, (json.dumps(gone),))

        self._last_removal = asyncio.get_running_loop().time()
        try:
            await self._writer.run(remove)
        finally:
            self._condemned.difference_update(gone, kept)

    def is_doubtful(self, begun: float) -> bool:
        """Tell whether the file of a task begun then (loop time) may have been removed meanwhile."""
        return bool(self._condemned) or begun <= self._last_removal

    async def check(self, name: str) -> None:
        """Raise `FileRemoved` where the file is gone."""
        if self.file_exists is not None and not await self.file_exists(name):
            raise FileRemoved(name)

    async def ended_before(self, at: float, *, limit: int) -> list[Batch]:
        """Return batches that ended before then (seconds since the epoch), first those that ended first."""
        return [batch_from(row) for row in await self._reader.fetch(SELECT_ENDED_BEFORE, (at, limit))]

    async def first_end(self) -> float | None:
        """Return when the first of all batches ended, in seconds since the epoch."""
        ((at,),) = await self._reader.fetch(SELECT_FIRST_END)
        return None if at is None else float(at)
