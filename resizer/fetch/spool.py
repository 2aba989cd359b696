"""Write downloads to files in a folder, within a budget."""

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from resizer.errors import OutOfResources, StorageFailure, disk_fault, shortage
from resizer.naming import DIGEST_SIZE
from resizer.support.shielded import shielded

PIECE = 256 * 1024  # bytes; the most that a connection buffers
#: bytes in the spool above which no download starts: more of them would only wait for a compressing process
LIMIT = 256 * 2**20
# A write into the page cache is faster than a switch to a thread. If the disk holds it up, as after more was
# written than the disk can take, threads write instead of the event loop.
SLOW_WRITE = 0.1  # seconds for a piece; shorter delays are also caused by a busy machine
SLOW_PERIOD = 10.0  # seconds for which threads write after a slow write


class SpoolFile:
    """The file of one download, created when first opened."""

    def __init__(self, budget: "SpoolBudget", path: Path) -> None:
        self.path = path
        #: bytes written
        self.size = 0
        self._budget = budget

    @property
    def digest(self) -> str:
        """Hexadecimal digest of the bytes written."""
        return self._hash.hexdigest()[: 2 * DIGEST_SIZE]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Write the file from its start. Raises `StorageFailure`, `OutOfResources`."""
        self.clear()
        self._hash = sha256()
        with self._disk_errors():
            # not in a thread: if cancelled, the thread could create the file after its removal
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            yield
        finally:
            os.close(self._descriptor)

    async def write(self, chunk: bytes) -> None:
        """Append to the open file. Raises `StorageFailure`, `OutOfResources`."""
        self._count(len(chunk))
        with self._disk_errors():
            if self._budget.disk_is_slow:
                # shielded: the file must not be closed while the thread writes
                await shielded(asyncio.to_thread(self._write, chunk))
            else:
                self._write(chunk)

    def clear(self) -> None:
        """Return the bytes of the file to the budget."""
        self._count(-self.size)

    def _count(self, size: int) -> None:
        self.size += size
        self._budget.used += size

    def _write(self, chunk: bytes) -> None:
        began = time.perf_counter()
        self._hash.update(chunk)
        left = memoryview(chunk)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._budget.note_write(time.perf_counter() - began)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if lacking := shortage(error):
                raise OutOfResources(lacking) from error
            raise StorageFailure(disk_fault(error, self._budget.folder), "download") from error


class SpoolBudget:
    """A folder for downloads; none starts while its files exceed the limit."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        #: bytes of all downloads in the folder
        self.used = 0
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._name = uuid4().hex
        self._numbers = itertools.count(1)
        self._slow_until = 0.0  # of time.monotonic

    @asynccontextmanager
    async def file(self) -> AsyncIterator[SpoolFile]:
        """Wait until the budget permits another file; it is removed on leaving."""
        while self.used >= self._limit:
            await self._turn()
        file = SpoolFile(self, self.folder / f"{self._name}-{next(self._numbers)}.image")
        try:
            yield file
        finally:
            file.clear()
            self._wake_next()
            file.path.unlink(missing_ok=True)

    @property
    def disk_is_slow(self) -> bool:
        """Whether a write may have to wait for the disk."""
        return time.monotonic() < self._slow_until

    def note_write(self, seconds: float) -> None:
        """Note how long a write took."""
        if seconds > SLOW_WRITE:
            self._slow_until = time.monotonic() + SLOW_PERIOD

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._wake_next()  # it may have been this one's turn
            raise

    def _wake_next(self) -> None:
        """Wake one for each that leaves, so that those that wait do not all start at once."""
        while self._waiting and self.used < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
