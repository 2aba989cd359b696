"""Write a stream to a file in few large pieces."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path

from resizer.errors import StorageFailure, disk_fault
from resizer.naming import DIGEST_SIZE

PIECE = 256 * 1024  # bytes; each is a trip to a thread, and most images take two


class Spool:
    """A file that is being written; holds back at most `PIECE` and one chunk."""

    def __init__(self, file: BufferedWriter, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._chunks: list[bytes] = []
        self._held = 0
        self._hash = sha256()

    @property
    def digest(self) -> str:
        """Of what was written, in hexadecimal digits; of all once it is flushed."""
        return self._hash.hexdigest()[: 2 * DIGEST_SIZE]

    async def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        chunks, self._chunks = self._chunks, []
        self._held = 0
        if chunks:
            with _storage_failures(self._folder):
                await asyncio.to_thread(self._write, b"".join(chunks))

    def _write(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._file.write(piece)
        self._file.flush()  # so that closing has nothing left to write


@asynccontextmanager
async def write_spool(path: Path) -> AsyncIterator[Spool]:
    """Open a new or emptied file at the path; on leaving it is whole. Raises `StorageFailure`."""
    with _storage_failures(path.parent):
        # not in a thread: one that outlives a cancelled wait would create the file after its removal
        file = path.open("wb")
    spool = Spool(file, path.parent)
    try:
        yield spool
        await spool.flush()
    finally:
        # after a cancellation a thread may be at its last piece: this waits for it. What could not be
        # written is tried once more here; the first error is the one to tell
        with suppress(OSError):
            file.close()


@contextmanager
def _storage_failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailure(disk_fault(error, folder), what="download") from error
