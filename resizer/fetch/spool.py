"""Keep downloads as files in a folder, within a bound."""

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from resizer.errors import ImageError, OutOfResources, StorageFailure, disk_fault, shortage
from resizer.naming import DIGEST_SIZE
from resizer.support.shielded import shielded

PIECE = 256 * 1024  # bytes that a connection may have received and not yet handed on
#: bytes in the spool beyond which no download is begun: they wait for a child, more would only wait longer
ENOUGH = 256 * 2**20
# A file that is written over takes 0.1 ms for a photo of 400 kB, a new one, whose memory must be found, 0.5
KEPT = 16  # files kept to be written over, while others are in use
KEPT_SIZE = 2**20  # bytes of the largest of them; few photos of a shop are larger
# What goes to the system's memory is written at once: that takes less than a trip to a thread. Where the disk
# holds it up, as it does who has written much more than it can take, threads wait in the loop's place.
SLOW_WRITE = 0.1  # seconds for a piece; less is also what another process takes of a busy machine
STAND_BACK = 10.0  # seconds for which threads write after a slow one


class Place:
    """Where one download is kept, and how many bytes of it are there."""

    def __init__(self, room: "Room") -> None:
        self.room = room
        self.size = 0
        #: bytes that the file may have of an earlier download
        self.stale = 0
        self._path: Path | None = None

    @property
    def has_file(self) -> bool:
        """Whether one was taken; for an answer of 304 none is."""
        return self._path is not None

    @property
    def path(self) -> Path:
        assert self._path is not None  # noqa: S101 - it was written to
        return self._path

    def take_file(self) -> None:
        if self._path is None:
            self._path, self.stale = self.room.file()

    def add(self, size: int) -> None:
        self.size += size
        self.room.used += size

    def clear(self) -> None:
        """Begin anew, or be left."""
        self.stale = max(self.stale, self.size)
        self.add(-self.size)


class Room:
    """A folder for downloads; who would begin one waits while there is enough in it."""

    def __init__(self, folder: Path, *, enough: int = ENOUGH) -> None:
        self.folder = folder
        #: bytes
        self.used = 0
        self._enough = enough
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._places = 0
        self._name = uuid4().hex
        self._numbers = itertools.count(1)
        #: files to be written over, and their bytes
        self._kept: list[tuple[Path, int]] = []
        #: by the system's clock
        self._slow_until = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Wait for room; the file of the place, where one was made, is gone or another's on leaving."""
        while self.used >= self._enough:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._let_in()  # it may have been this one's turn
                raise
        place = Place(self)
        self._places += 1
        whole = False
        try:
            yield place
            whole = True
        finally:
            self._places -= 1
            place.clear()
            self._let_in()
            self._leave(place, whole=whole)

    def file(self) -> tuple[Path, int]:
        """Return a file that is nobody's, which may have to be made, and how many bytes it may have."""
        if self._kept:
            return self._kept.pop()
        return self.folder / f"{self._name}-{next(self._numbers)}.image", 0

    @property
    def disk_is_slow(self) -> bool:
        """Whether what is written may have to wait for the disk."""
        return time.monotonic() < self._slow_until

    def took(self, seconds: float) -> None:
        """Note how long a piece took to be written."""
        if seconds > SLOW_WRITE:
            self._slow_until = time.monotonic() + STAND_BACK

    def _leave(self, place: Place, *, whole: bool) -> None:
        """Keep the file while others are in use; who was cancelled may have a child that reads it still."""
        if place.has_file:
            if whole and place.stale <= KEPT_SIZE and len(self._kept) < KEPT:
                self._kept.append((place.path, place.stale))
            else:
                place.path.unlink(missing_ok=True)
        # not awaited, so that a cancellation cannot come between
        while self._kept and not self._places:
            path, _ = self._kept.pop()
            path.unlink(missing_ok=True)

    def _let_in(self) -> None:
        """Let one in for each that leaves, so that not all who wait begin at once."""
        while self._waiting and self.used < self._enough:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class Spool:
    """A file that is being written; it holds nothing back."""

    def __init__(self, file: int, place: Place) -> None:
        self._file = file
        self._place = place
        self._hash = sha256()

    @property
    def digest(self) -> str:
        """Of what was written, in hexadecimal digits."""
        return self._hash.hexdigest()[: 2 * DIGEST_SIZE]

    async def add(self, chunk: bytes) -> None:
        """Write it. Raises `StorageFailure`."""
        self._place.add(len(chunk))
        try:
            if self._place.room.disk_is_slow:
                # to its end: what it writes to must not be closed meanwhile
                await shielded(asyncio.to_thread(self._write, chunk))
            else:
                self._write(chunk)
        except OSError as error:
            raise _failure(error, self._place) from error

    def end(self) -> None:
        """Cut off what is left of an earlier download in the same file. Raises `StorageFailure`."""
        if self._place.stale > self._place.size:
            try:
                os.ftruncate(self._file, self._place.size)
            except OSError as error:
                raise _failure(error, self._place) from error
            self._place.stale = self._place.size

    def _write(self, chunk: bytes) -> None:
        began = time.perf_counter()
        self._hash.update(chunk)
        left = memoryview(chunk)
        while left:
            left = left[os.write(self._file, left) :]
        self._place.room.took(time.perf_counter() - began)


@asynccontextmanager
async def write_spool(place: Place) -> AsyncIterator[Spool]:
    """Open a new or emptied file in the place; on leaving it is whole.

    Raises `StorageFailure`, `OutOfResources`.
    """
    place.take_file()
    place.clear()
    try:
        # not in a thread: one that outlives a cancelled wait would create the file after its removal
        file = os.open(place.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _failure(error, place) from error
    try:
        spool = Spool(file, place)
        yield spool
        spool.end()
    finally:
        os.close(file)


def _failure(error: OSError, place: Place) -> ImageError:
    if lacking := shortage(error):
        return OutOfResources(lacking)
    return StorageFailure(disk_fault(error, place.room.folder), what="download")
