"""Write a stream to a file in few large pieces."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from aiofiles.threadpool import wrap
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from resizer.errors import StorageFailure, disk_fault
from resizer.naming import DIGEST_SIZE

PIECE = 256 * 1024  # bytes; each write is a trip to a thread, and most images take two


class Spool:
    """A file that is being written; holds back at most `PIECE` and one chunk."""

    def __init__(self, file: AsyncBufferedIOBase, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._chunks: list[bytes] = []
        self._held = 0
        self._hash = blake2b(digest_size=DIGEST_SIZE)

    @property
    def digest(self) -> str:
        """Of what was written, in hexadecimal digits; of all once it is flushed."""
        return self._hash.hexdigest()

    async def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        piece = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if piece:
            self._hash.update(piece)
            with _storage_failures(self._folder):
                await self._file.write(piece)


@asynccontextmanager
async def write_spool(path: Path) -> AsyncIterator[Spool]:
    """Open a new or emptied file at the path; on leaving it is whole. Raises `StorageFailure`."""
    file = _create(path)
    spool = Spool(file, path.parent)
    try:
        yield spool
        await spool.flush()
    except BaseException:
        # closing writes once more what could not be written; the first error is the one to tell
        with suppress(OSError):
            await file.close()
        raise
    with _storage_failures(path.parent):
        await file.close()


def _create(path: Path) -> AsyncBufferedIOBase:
    # Not in a thread: one that outlives a cancelled wait would create the file after its removal.
    with _storage_failures(path.parent):
        file: AsyncBufferedIOBase = wrap(path.open("wb"))
        return file


@contextmanager
def _storage_failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailure(disk_fault(error, folder), what="download") from error
