"""Errors of SQLite become errors that say what to do."""

import sqlite3

import pytest

from resizer.database.reader import translated
from resizer.errors import DatabaseFailure, NoSpace


@pytest.mark.parametrize(
    "code, kind, reason",
    [
        (sqlite3.SQLITE_FULL, NoSpace, "free some"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, NoSpace, "free some"),
        (sqlite3.SQLITE_IOERR_WRITE, DatabaseFailure, "check the disk"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, DatabaseFailure, "locked"),
        (sqlite3.SQLITE_READONLY_DBMOVED, DatabaseFailure, "read-only"),
        (sqlite3.SQLITE_CORRUPT_INDEX, DatabaseFailure, "restore a backup"),
        (sqlite3.SQLITE_CANTOPEN, DatabaseFailure, "cannot be opened"),
        (sqlite3.SQLITE_SCHEMA, DatabaseFailure, "as SQLite says it"),
        (None, DatabaseFailure, "as SQLite says it"),
    ],
)
def test_every_fault_says_what_to_do(code: int | None, kind: type[Exception], reason: str) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    if code is not None:
        error.sqlite_errorcode = code
    found = translated(error)
    assert type(found) is kind
    assert reason in str(found)
