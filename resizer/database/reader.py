"""The reading connection, and the service's errors for those of SQLite."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import aiosqlite

from resizer.errors import DatabaseFailure, NoSpace

#: result codes of a full disk; the second one where SQLite cannot enlarge its shared memory
OUT_OF_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
NO_SPACE = "there is no space left on its disk; free some"
DAMAGED = (
    "it is damaged or not a resizer database; restore a backup, or move it away to start with an empty one"
)
#: bits of a result code that name its kind; the higher ones name the case
PRIMARY = 0xFF
REASONS = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked; close that program",
    sqlite3.SQLITE_READONLY: "it is read-only; let the service's user write to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened; it must be a file that the service's user may write, "
        "and the process must be allowed to open one more file (ulimit -n)"
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

    async def fetch(self, statement: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        return await self.run(lambda connection: rows_of(connection, statement, values))

    async def run(self, operation: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        try:
            return await operation(self._connection)
        except sqlite3.Error as error:
            raise translated(error) from error


async def rows_of(
    connection: aiosqlite.Connection, statement: str, values: Iterable[Any] = ()
) -> list[sqlite3.Row]:
    return list(await connection.execute_fetchall(statement, values))


def translated(error: Exception) -> Exception:
    """Return the service's error for an error of SQLite; other errors as they are."""
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
    # errors of the sqlite3 module itself (a closed connection, say) have no code
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
