"""The reading connection, and SQLite's errors as ours."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import aiosqlite

from resizer.errors import DatabaseFailure, NoSpace

T = TypeVar("T")


class Reader:
    """Runs statements that change nothing. Raises `DatabaseFailure`."""

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
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return NoSpace()
    return DatabaseFailure(str(error))
