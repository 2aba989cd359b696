"""A small disk that a test fills and frees; simulated where mounting is not permitted."""

import contextlib
import errno
import functools
import io
import itertools
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

#: bytes of one write, largest first: a disk is full when not one more byte fits
FILLING = (1 << 16, 1 << 12, 1)
#: index of the free blocks in the result of statvfs
BFREE, BAVAIL = 3, 4


class Disk(Protocol):
    """A folder that can run out of space."""

    folder: Path

    def fill(self) -> None: ...

    def free(self) -> None: ...


class Tmpfs:
    """A separate file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        file = os.open(self._filler, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            for size in FILLING:
                _write_until_full(file, bytes(size))
        finally:
            os.close(file)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


class Inodes(Tmpfs):
    """A file system with free bytes but no free inode."""

    def fill(self) -> None:
        self._filler.mkdir()
        with contextlib.suppress(OSError):
            for number in itertools.count():
                (self._filler / str(number)).touch()

    def free(self) -> None:
        shutil.rmtree(self._filler)


def _write_until_full(file: int, piece: bytes) -> None:
    while True:
        try:
            os.write(file, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


class Pretended:
    """A folder that this process cannot write to while it is full; compressing children can."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._full = False
        writing = functools.partial(self._open, io.open)
        patch.setattr("io.open", writing)
        patch.setattr("aiofiles.threadpool.sync_open", writing)
        patch.setattr("os.write", functools.partial(self._write, os.write))
        patch.setattr("os.statvfs", functools.partial(self._statvfs, os.statvfs))
        patch.setattr("os.fstatvfs", functools.partial(self._fstatvfs, os.fstatvfs))
        patch.setattr("os.fsync", functools.partial(self._fsync, os.fsync))
        patch.setattr("sqlite3.connect", functools.partial(self._connect, sqlite3.connect))

    def fill(self) -> None:
        self._full = True

    def free(self) -> None:
        self._full = False

    def takes(self, path: str | Path) -> bool:
        return not (self._full and Path(path).is_relative_to(self.folder))

    def _open(self, real: Any, file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if isinstance(file, (str, Path)) and "r" not in mode and not self.takes(file):
            real(file, mode, *rest, **options).close()  # names need no space
            return real("/dev/full", mode, *rest, **options)
        return real(file, mode, *rest, **options)

    def _write(self, real: Any, file: int, data: bytes) -> int:
        if not self.takes(Path(f"/proc/self/fd/{file}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written: int = real(file, data)
        return written

    def _statvfs(self, real: Any, path: str | Path) -> os.statvfs_result:
        found = [*real(path)]
        if not self.takes(path):
            found[BFREE] = found[BAVAIL] = 0
        return os.statvfs_result(found)

    def _fstatvfs(self, real: Any, file: int) -> os.statvfs_result:
        return self._statvfs(lambda _: real(file), Path(f"/proc/self/fd/{file}").readlink())

    def _fsync(self, real: Any, file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        if not self.takes(path) and not path.is_dir():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    def _connect(self, real: Any, path: Any, **options: Any) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if statement == "COMMIT" and not disk.takes(path):
                    # as in SQLite: a write that does not fit ends the whole transaction
                    super().execute("ROLLBACK")
                    error = sqlite3.OperationalError("database or disk is full")
                    error.sqlite_errorcode = sqlite3.SQLITE_FULL
                    raise error
                return super().execute(statement, *values)

        connection: sqlite3.Connection = real(path, factory=Connection, **options)
        return connection


@contextlib.contextmanager
def tmpfs(folder: Path, options: str, kind: type[Tmpfs] = Tmpfs) -> Iterator[Tmpfs | None]:
    """Mount a file system there; None if that is not permitted."""
    folder.mkdir()
    if not _ran("mount", "-t", "tmpfs", "-o", options, "none", str(folder)):
        yield None
        return
    try:
        yield kind(folder)
    finally:
        # lazily: a child that is exiting may still have a file open
        _ran("umount", "-l", str(folder))


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[bool]:
    """Make the folder read-only; returns False if that is not possible."""
    if os.geteuid():
        mode = path.stat().st_mode
        path.chmod(mode & 0o555)
        try:
            yield True
        finally:
            path.chmod(mode)
        return
    # root ignores modes
    mounted = _ran("mount", "--bind", str(path), str(path))
    try:
        yield mounted and _ran("mount", "-o", "remount,bind,ro", str(path))
    finally:
        if mounted:
            _ran("umount", "-l", str(path))
