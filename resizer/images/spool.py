"""Write a stream to a file in few large pieces."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from resizer.errors import StorageFailure, disk_fault
from resizer.naming import DIGEST_SIZE

PIECE = 256 * 1024  # bytes that a download may always hold before it writes them
LARGE_PIECE = 4 * PIECE  # each piece is a trip to a thread, and few photos of a shop are larger
#: bytes held by all downloads of a room beyond which they write small pieces
HELD = 16 * 2**20
#: bytes that are written without a thread: that takes less time than a trip there
SMALL_PIECE = 32 * 1024
BUFFER = 8192  # bytes; named, so that Python does not ask whether the file is a terminal
#: bytes in the spool beyond which no download is begun: they wait for a child, more would only wait longer
ENOUGH = 256 * 2**20


class Place:
    """Where one download is kept, and how many bytes of it are there."""

    def __init__(self, room: "Room", path: Path) -> None:
        self.path = path
        self.size = 0
        self._room = room

    def add(self, size: int) -> None:
        self.size += size
        self._room.used += size

    def hold(self, size: int) -> None:
        """Have so many more bytes, or with a minus fewer, in memory."""
        self._room.held += size

    @property
    def piece(self) -> int:
        """Bytes to hold before they are written."""
        return LARGE_PIECE if self._room.held <= HELD else PIECE

    def clear(self) -> None:
        """Begin anew, or be left."""
        self.add(-self.size)


class Room:
    """A folder for downloads; who would begin one waits while there is enough in it."""

    def __init__(self, folder: Path, *, enough: int = ENOUGH) -> None:
        self.folder = folder
        #: bytes
        self.used = 0
        #: of them, those not written yet
        self.held = 0
        self._enough = enough
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Wait for room; the file of the place, where one was made, is gone on leaving."""
        while self.used >= self._enough:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._let_in()  # it may have been this one's turn
                raise
        place = Place(self, self.folder / f"{uuid4().hex}.image")
        try:
            yield place
        finally:
            place.clear()
            self._let_in()
            # not awaited, so that a cancellation cannot come between
            place.path.unlink(missing_ok=True)

    def _let_in(self) -> None:
        """Let one in for each that leaves, so that not all who wait begin at once."""
        while self._waiting and self.used < self._enough:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class Spool:
    """A file that is being written; holds back at most a piece and one chunk."""

    def __init__(self, file: BinaryIO, place: Place) -> None:
        self._file = file
        self._place = place
        self._chunks: list[bytes] = []
        self._held = 0
        self._hash = sha256()

    @property
    def digest(self) -> str:
        """Of what was written, in hexadecimal digits; of all once it is flushed."""
        return self._hash.hexdigest()[: 2 * DIGEST_SIZE]

    async def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._place.add(len(chunk))
        self._place.hold(len(chunk))
        self._held += len(chunk)
        if self._held >= self._place.piece:
            await self.flush()

    async def flush(self) -> None:
        if self._chunks:
            piece = b"".join(self._chunks)
            self._chunks.clear()
            try:
                with _storage_failures(self._place.path.parent):
                    if len(piece) <= SMALL_PIECE:
                        self._write(piece)
                    else:
                        await asyncio.to_thread(self._write, piece)
            finally:
                self.release()

    def release(self) -> None:
        """Hold nothing any more."""
        self._place.hold(-self._held)
        self._held = 0

    def _write(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._file.write(piece)
        self._file.flush()  # so that closing has nothing left to write


@asynccontextmanager
async def write_spool(place: Place) -> AsyncIterator[Spool]:
    """Open a new or emptied file in the place; on leaving it is whole. Raises `StorageFailure`."""
    with _storage_failures(place.path.parent):
        # not in a thread: one that outlives a cancelled wait would create the file after its removal
        file = place.path.open("wb", buffering=BUFFER)
    place.clear()
    spool = Spool(file, place)
    try:
        yield spool
        await spool.flush()
    finally:
        # after a cancellation a thread may be at its last piece: this waits for it. What could not be
        # written is tried once more here; the first error is the one to tell
        spool.release()
        with suppress(OSError):
            file.close()


@contextmanager
def _storage_failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailure(disk_fault(error, folder), what="download") from error
