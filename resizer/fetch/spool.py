"""Write downloads to files in a folder, within a budget of bytes."""

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

PIECE = 256 * 1024  # bytes that a connection buffers
#: bytes in the spool from which on no download begins: more images would only wait longer for a child
ENOUGH = 256 * 2**20
# Overwriting a file takes 0.1 ms for a photo of 400 kB, a new file 0.5 ms: the kernel has to find its memory
KEPT = 16  # files kept for overwriting while others are in use
KEPT_SIZE = 2**20  # bytes of the largest of them; few photos of a shop are larger
# Writing to the page cache takes less time than a trip to a thread. Once the disk slows writes down, threads
# wait for it instead of the event loop.
SLOW_WRITE = 0.1  # seconds for a piece; other processes on a busy machine cause shorter delays
STAND_BACK = 10.0  # seconds for which threads write after a slow write


class SpoolFile:
    """The file of one download, and its size so far."""

    def __init__(self, room: "SpoolBudget") -> None:
        self.room = room
        self.size = 0
        #: bytes that an earlier download may have left in the file
        self.stale = 0
        self._path: Path | None = None

    @property
    def has_file(self) -> bool:
        """Whether a file was taken; a response of 304 needs none."""
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
        """Empty it, before another attempt or at the end."""
        self.stale = max(self.stale, self.size)
        self.add(-self.size)


class SpoolBudget:
    """A folder for downloads; new ones wait while it holds `enough` bytes."""

    def __init__(self, folder: Path, *, enough: int = ENOUGH) -> None:
        self.folder = folder
        #: bytes
        self.used = 0
        self._enough = enough
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._places = 0
        self._name = uuid4().hex
        self._numbers = itertools.count(1)
        #: files for overwriting, and their bytes
        self._kept: list[tuple[Path, int]] = []
        #: by time.monotonic()
        self._slow_until = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[SpoolFile]:
        """Wait for room, then give a file; after the block it is removed or another download's."""
        while self.used >= self._enough:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._let_in()  # the turn may have been this one's
                raise
        place = SpoolFile(self)
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
        """Return the path of a free file, which need not exist, and the bytes that it may hold."""
        if self._kept:
            return self._kept.pop()
        return self.folder / f"{self._name}-{next(self._numbers)}.image", 0

    @property
    def disk_is_slow(self) -> bool:
        """Whether a write may have to wait for the disk."""
        return time.monotonic() < self._slow_until

    def took(self, seconds: float) -> None:
        """Note the time of a write."""
        if seconds > SLOW_WRITE:
            self._slow_until = time.monotonic() + STAND_BACK

    def _leave(self, place: SpoolFile, *, whole: bool) -> None:
        """Keep the file while others are in use, unless a cancelled child may still read it."""
        if place.has_file:
            if whole and place.stale <= KEPT_SIZE and len(self._kept) < KEPT:
                self._kept.append((place.path, place.stale))
            else:
                place.path.unlink(missing_ok=True)
        # without await, so that no cancellation interrupts it
        while self._kept and not self._places:
            path, _ = self._kept.pop()
            path.unlink(missing_ok=True)

    def _let_in(self) -> None:
        """Admit one waiting download for each that ends, so that not all begin at once."""
        while self._waiting and self.used < self._enough:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class Spool:
    """Writes to a file without a buffer."""

    def __init__(self, file: int, place: SpoolFile) -> None:
        self._file = file
        self._place = place
        self._hash = sha256()

    @property
    def digest(self) -> str:
        """Hash of the bytes written, in hexadecimal digits."""
        return self._hash.hexdigest()[: 2 * DIGEST_SIZE]

    async def add(self, chunk: bytes) -> None:
        """Write it. Raises `StorageFailure`."""
        self._place.add(len(chunk))
        try:
            if self._place.room.disk_is_slow:
                # the file must not be closed before the thread has ended
                await shielded(asyncio.to_thread(self._write, chunk))
            else:
                self._write(chunk)
        except OSError as error:
            raise _failure(error, self._place) from error

    def end(self) -> None:
        """Truncate what an earlier download left in the file. Raises `StorageFailure`."""
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
async def write_spool(place: SpoolFile) -> AsyncIterator[Spool]:
    """Open the file for a download; after the block it is complete.

    Raises `StorageFailure`, `OutOfResources`.
    """
    place.take_file()
    place.clear()
    try:
        # not in a thread: after a cancellation it could create the file once it was removed
        file = os.open(place.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _failure(error, place) from error
    try:
        spool = Spool(file, place)
        yield spool
        spool.end()
    finally:
        os.close(file)


def _failure(error: OSError, place: SpoolFile) -> ImageError:
    if lacking := shortage(error):
        return OutOfResources(lacking)
    return StorageFailure(disk_fault(error, place.room.folder), what="download")
