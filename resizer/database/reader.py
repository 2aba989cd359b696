"""The reading connection, and SQLite's errors as ours."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import aiosqlite

from resizer.errors import DatabaseFailure, NoSpace

#: what SQLite says where the disk is full; the second where its shared memory is what found no place
OUT_OF_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
NO_SPACE = "there is no space left on its disk; free some"
DAMAGED = "it is damaged or no database of ours; restore a backup, or move it away to begin anew"
#: bits of a result code that name its kind; those above tell more
PRIMARY = 0xFF
REASONS = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked; close that program",
    sqlite3.SQLITE_READONLY: "it may only be read; let the service's user write to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened; a file must stand there that the service's user may write, "
        "and the process must be able to open one more (ulimit -n)"
    ),
    sqlite3.SQLITE_PERM: "it may not be opened; let the service's user write to the file and its folder",
    sqlite3.SQLITE_IOERR: "its disk reports faults; check the disk, or restore a backup",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}

T = TypeVar("T")


class Reader:
    """Runs statements that change nothing. Raises `DatabaseFailure`, `NoSpace`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, statement: str, values: Iterable[Any] = ()) -> Iterable[sqlite3.Row]:
        return await self.run(lambda connection: connection.execute_fetchall(statement, values))

    async def run(self, operation: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        try:
            return await operation(self._connection)
        except sqlite3.Error as error:
            raise typed(error) from error


def typed(error: Exception) -> Exception:
    """Return the error of ours that SQLite's error means; other errors as they are."""
    if not isinstance(error, sqlite3.Error):
        return error
    if _code(error) in OUT_OF_SPACE:
        return NoSpace()
    return DatabaseFailure(reason_of(error))


def reason_of(error: sqlite3.Error) -> str:
    """Return what is wrong with the file, and what to do about it."""
    code = _code(error)
    reason = NO_SPACE if code in OUT_OF_SPACE else REASONS.get(code & PRIMARY)
    return f"{reason} (SQLite: {error})" if reason else str(error)


def _code(error: sqlite3.Error) -> int:
    # the module's own errors (a closed connection, say) have none
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
