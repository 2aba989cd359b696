"""Check, before an upload is written, that the database's disk and file are as they should be."""

import asyncio
import shutil
from pathlib import Path

from resizer.errors import DatabaseFailure, NoSpace, disk_fault

#: bytes of the disk that uploads leave free: on a full disk no outcome can be recorded, and no refused upload
#: can be deleted
RESERVE = 33_554_432
#: of a small disk, uploads leave a part of this size (one tenth) free instead
RESERVED_PART = 10


class DatabaseFile:
    """The file as it was opened; SQLite keeps writing to it after it was moved or deleted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._found()

    async def check_space(self) -> None:
        """Raise `NoSpace` where an upload would take the last of the disk."""
        await asyncio.to_thread(self._check_space)

    async def check(self) -> None:
        """Raise `NoSpace`, or `DatabaseFailure` where the next start would not find the file."""
        await asyncio.to_thread(self._check)

    def _check_space(self) -> None:
        try:
            usage = shutil.disk_usage(self._path.parent)
        except OSError as error:
            raise DatabaseFailure(disk_fault(error, self._path.parent)) from error
        if usage.free < min(RESERVE, usage.total // RESERVED_PART):
            raise NoSpace

    def _check(self) -> None:
        self._check_space()
        try:
            found = self._found()
        except OSError:
            found = None
        if found != self._identity:
            raise DatabaseFailure(
                f"the database file {self._path} was moved, deleted or replaced while the service runs; "
                "put it back, or restart"
            )

    def _found(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino
