"""Copies of the database: taken while it is used, looked over, and put back."""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resizer.database.migrations import MIGRATIONS, step
from resizer.database.reader import DAMAGED, OUT_OF_SPACE, reason_of
from resizer.database.removal import NOTE_ORPHANS, SELECT_UNNAMED, UPDATE_COLLECTS_SINCE
from resizer.errors import DatabaseUnusable
from resizer.support.atomic_file import atomic_write

INTEGRITY = "PRAGMA integrity_check(10)"
FOREIGN_KEYS = "PRAGMA foreign_key_check"
SCHEMA = "PRAGMA user_version"
OURS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'batches'"
COUNT = "SELECT count(*), coalesce(sum(images), 0) FROM batches WHERE ready"
#: the counters of a request beside what is counted anew
MISCOUNTED = """
    SELECT b.request_id FROM batches b WHERE ready AND (images, pending, completed, failed, cancelled) <> (
        SELECT count(*), total(status = 'pending'), total(status = 'completed'), total(status = 'failed'),
            total(status = 'cancelled')
        FROM images i WHERE i.batch_id = b.id
    )
"""
SELECT_FILENAMES = "SELECT DISTINCT filename FROM images WHERE filename IS NOT NULL"
SELECT_NAMED = """
    SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM images WHERE filename = value)
"""
COUNT_NOTED = "SELECT count(*) FROM orphans WHERE filename IN (SELECT value FROM json_each(?))"
#: what SQLite keeps beside a file; a stranger's would be taken for its own
COMPANIONS = ("-wal", "-shm", "-journal")
PAGE = 1000  # names
#: mode of what holds all URLs, for its owner alone
PRIVATE = 0o600


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a database holds."""

    requests: int
    images: int
    #: bytes of the file
    size: int


def back_up(path: Path, target: Path) -> Contents:
    """Copy the database, whoever uses it, to a file that is whole or not there; what stood there is replaced.

    The copy is of one moment, and has been looked over. Raises `DatabaseUnusable`, `OSError`.
    """
    with atomic_write(target, mode=PRIVATE) as draft:
        contents = _copied(path, draft)
        # who may read the database may read its copy, and nobody else
        draft.chmod(path.stat().st_mode & 0o777)
    return contents


def restore(copy: Path, path: Path, *, aside: Path) -> Contents:
    """Put a copy in the place of the database, which nobody may have open; what stood there goes `aside`.

    A crash in between leaves the earlier one or the copy, never a mixture. Raises `DatabaseUnusable` with
    nothing changed where the copy is damaged, newer than we know, or no database of ours; `OSError`.
    """
    with atomic_write(path, mode=PRIVATE) as draft:
        contents = _copied(copy, draft)
        _keep_files(draft)
        if path.exists():
            _settle(path)
            draft.chmod(path.stat().st_mode & 0o777)
            aside.hardlink_to(path)
        # SQLite would go by an earlier one's journal when it opens the copy
        for companion in COMPANIONS:
            left = path.with_name(path.name + companion)
            if left.exists():
                left.replace(aside.with_name(aside.name + companion))
    return contents


def _keep_files(copy: Path) -> None:
    """Have the collector leave all files of now: the requests since the backup may have published them."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        ((version,),) = connection.execute(SCHEMA)
        for number in range(version, len(MIGRATIONS)):
            connection.executescript(step(number))
        connection.execute(UPDATE_COLLECTS_SINCE, (time.time(),))


def _settle(path: Path) -> None:
    """Have SQLite bring into a database what stands beside it; a damaged one is left as it is."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def look_over(path: Path) -> tuple[Contents, list[str]]:
    """Read all of the database; returns what it holds and what is wrong in it. Raises `DatabaseUnusable`."""
    with _reading(path) as connection:
        _check_ours(connection, path)
        faults = [str(found) for (found,) in connection.execute(INTEGRITY) if found != "ok"]
        if not faults:
            faults += [
                f"a row of {table} belongs to none of {parent}"
                for table, _, parent, _ in connection.execute(FOREIGN_KEYS)
            ]
            faults += [
                f"the counters of request {name} are wrong" for (name,) in connection.execute(MISCOUNTED)
            ]
        return _contents(connection, path), faults


def filenames(path: Path) -> Iterator[list[str]]:
    """Give the names of all compressed files, a page at a time. Raises `DatabaseUnusable`."""
    with _reading(path) as connection:
        cursor = connection.execute(SELECT_FILENAMES)
        while rows := cursor.fetchmany(PAGE):
            yield [name for (name,) in rows]


def named_among(path: Path, names: Collection[str]) -> list[str]:
    """Return the files that images name at this moment. Raises `DatabaseUnusable`."""
    with _reading(path) as connection:
        return [name for (name,) in connection.execute(SELECT_NAMED, (json.dumps([*names]),))]


def unnamed_among(path: Path, names: Collection[str]) -> list[str]:
    """Return the files that no image names and that are not about to go. Raises `DatabaseUnusable`."""
    with _reading(path) as connection:
        return [name for (name,) in connection.execute(SELECT_UNNAMED, (json.dumps([*names]),))]


def note_unnamed(path: Path, names: Collection[str]) -> None:
    """Have a server that runs remove these files unless an image names them. Raises `DatabaseUnusable`."""
    with _opened(path, mode="rw") as connection, connection:
        connection.execute(NOTE_ORPHANS, (json.dumps([*names]),))


def count_noted(path: Path, names: Collection[str]) -> int:
    """Return how many of the files are still to be removed. Raises `DatabaseUnusable`."""
    with _reading(path) as connection:
        ((count,),) = connection.execute(COUNT_NOTED, (json.dumps([*names]),))
        return int(count)


def _copied(path: Path, draft: Path) -> Contents:
    """Copy a database into an empty file, and look the copy over; it is on disk when this returns."""
    with _reading(path) as source:
        _check_ours(source, path)
        with closing(sqlite3.connect(draft)) as copy:
            try:
                # in one step, which is of one moment: between steps a busy service would have it begin anew
                source.backup(copy)
                # one file, without a journal beside it
                copy.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode in OUT_OF_SPACE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft)) from error
                raise
            if [*copy.execute(INTEGRITY)] != [("ok",)]:
                raise DatabaseUnusable(str(path), DAMAGED)
            contents = _contents(copy, draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    return contents


def _contents(connection: sqlite3.Connection, path: Path) -> Contents:
    ((requests, images),) = connection.execute(COUNT)
    return Contents(requests=requests, images=images, size=path.stat().st_size)


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    ((version,),) = connection.execute(SCHEMA)
    if version > len(MIGRATIONS):
        raise DatabaseUnusable(
            str(path),
            f"it was written by a newer version of resizer (schema {version}, while this one knows "
            f"{len(MIGRATIONS)}); upgrade resizer",
        )
    if not version or not connection.execute(OURS).fetchone():
        raise DatabaseUnusable(str(path), "it is no database of resizer's")


def _reading(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    return _opened(path, mode="ro")


@contextmanager
def _opened(path: Path, *, mode: str) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise DatabaseUnusable(str(path), "there is no such file")
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise DatabaseUnusable(str(path), reason_of(error)) from error
