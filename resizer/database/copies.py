"""Back the database up while it is in use, check a copy, and restore one."""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resizer.database.migrations import MIGRATIONS, newer_version, step
from resizer.database.reader import DAMAGED, OUT_OF_SPACE, reason_of
from resizer.database.removal import NOTE_FILES, SELECT_UNNAMED, UPDATE_COLLECTS_SINCE
from resizer.errors import DatabaseUnusable
from resizer.support.atomic_file import atomic_write

INTEGRITY = "PRAGMA integrity_check(10)"
FOREIGN_KEYS = "PRAGMA foreign_key_check"
SCHEMA = "PRAGMA user_version"
OURS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'batches'"
COUNT = "SELECT count(*), coalesce(sum(images), 0) FROM batches WHERE ready"
#: requests whose counters differ from the number of their images
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
#: what SQLite keeps beside a file; it would apply another database's as its own
COMPANIONS = ("-wal", "-shm", "-journal")
PAGE = 1000  # names
PRIVATE = 0o600  # mode of a file with all URLs, for its owner alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """The size of a database."""

    requests: int
    images: int
    #: bytes of the file
    size: int


def back_up(path: Path, target: Path) -> Contents:
    """Copy the database, also while it is in use, to a file that is complete or absent.

    The copy is of one moment, and is checked. Raises `DatabaseUnusable`, `OSError`.
    """
    with atomic_write(target, mode=PRIVATE) as draft:
        contents = _copied(path, draft)
        # the copy has the same readers as the database
        draft.chmod(path.stat().st_mode & 0o777)
    return contents


def restore(copy: Path, path: Path, *, aside: Path) -> Contents:
    """Replace the database, which no process may have open, by a copy; the replaced one is kept `aside`.

    A crash leaves one of the two, never a mixture. Raises `DatabaseUnusable` with nothing changed where the
    copy is damaged, of a newer version, or not a resizer database; `OSError`.
    """
    with atomic_write(path, mode=PRIVATE) as draft:
        contents = _copied(copy, draft)
        _keep_files(draft)
        if path.exists():
            _checkpoint(path)
            draft.chmod(path.stat().st_mode & 0o777)
            aside.hardlink_to(path)
        # SQLite would apply the replaced one's journal to the copy
        for companion in COMPANIONS:
            left = path.with_name(path.name + companion)
            if left.exists():
                left.replace(aside.with_name(aside.name + companion))
    return contents


def _keep_files(copy: Path) -> None:
    """Keep all files of now from the collector: requests made since the backup may have published them."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        ((version,),) = connection.execute(SCHEMA)
        for number in range(version, len(MIGRATIONS)):
            connection.executescript(step(number))
        connection.execute(UPDATE_COLLECTS_SINCE, (time.time(),))


def _checkpoint(path: Path) -> None:
    """Write the journal into the database; a damaged one stays as it is."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def check_database(path: Path) -> tuple[Contents, list[str]]:
    """Check the whole database; returns its size and what is wrong in it. Raises `DatabaseUnusable`."""
    with _opened(path) as connection:
        _check_ours(connection, path)
        faults = [str(found) for (found,) in connection.execute(INTEGRITY) if found != "ok"]
        if not faults:
            faults += [
                f"a row of {table} refers to no row of {parent}"
                for table, _, parent, _ in connection.execute(FOREIGN_KEYS)
            ]
            faults += [
                f"the counters of request {name} are wrong" for (name,) in connection.execute(MISCOUNTED)
            ]
        return _contents(connection, path), faults


def filenames(path: Path) -> Iterator[list[str]]:
    """Yield the names of all compressed files, a page at a time. Raises `DatabaseUnusable`."""
    with _opened(path) as connection:
        cursor = connection.execute(SELECT_FILENAMES)
        while rows := cursor.fetchmany(PAGE):
            yield [name for (name,) in rows]


def named_among(path: Path, names: Collection[str]) -> list[str]:
    """Return those of the files that images name now. Raises `DatabaseUnusable`."""
    with _opened(path) as connection:
        return [name for (name,) in connection.execute(SELECT_NAMED, (json.dumps([*names]),))]


def unnamed_among(path: Path, names: Collection[str]) -> list[str]:
    """Return the files that no image names and that are not noted. Raises `DatabaseUnusable`."""
    with _opened(path) as connection:
        return [name for (name,) in connection.execute(SELECT_UNNAMED, (json.dumps([*names]),))]


def note_unnamed(path: Path, names: Collection[str]) -> None:
    """Note files for a running server to delete unless an image names them. Raises `DatabaseUnusable`."""
    with _opened(path, mode="rw") as connection, connection:
        connection.execute(NOTE_FILES, (json.dumps([*names]),))


def count_noted(path: Path, names: Collection[str]) -> int:
    """Return how many of the files are noted still. Raises `DatabaseUnusable`."""
    with _opened(path) as connection:
        ((count,),) = connection.execute(COUNT_NOTED, (json.dumps([*names]),))
        return int(count)


def _copied(path: Path, draft: Path) -> Contents:
    """Copy a database into an empty file and check the copy."""
    with _opened(path) as source:
        _check_ours(source, path)
        with closing(sqlite3.connect(draft)) as copy:
            try:
                # in one step: a commit between two steps would start it again
                source.backup(copy)
                # without a journal beside it
                copy.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode in OUT_OF_SPACE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft)) from error
                raise
            if [*copy.execute(INTEGRITY)] != [("ok",)]:
                raise DatabaseUnusable(str(path), DAMAGED)
            return _contents(copy, draft)


def _contents(connection: sqlite3.Connection, path: Path) -> Contents:
    ((requests, images),) = connection.execute(COUNT)
    return Contents(requests=requests, images=images, size=path.stat().st_size)


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    ((version,),) = connection.execute(SCHEMA)
    if version > len(MIGRATIONS):
        raise newer_version(str(path), version)
    if not version or not connection.execute(OURS).fetchone():
        raise DatabaseUnusable(str(path), "it is not a resizer database")


@contextmanager
def _opened(path: Path, *, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise DatabaseUnusable(str(path), "there is no such file")
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise DatabaseUnusable(str(path), reason_of(error)) from error
