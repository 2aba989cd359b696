"""Keep compressed files in a folder of this machine, or in one that several share."""

import asyncio
import errno
import fcntl
import itertools
import logging
import math
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import aiofiles.os

from resizer.errors import ConfigError, StorageFailure, disk_fault, shortage
from resizer.storage.base import NAME, PAGE
from resizer.support.atomic_file import lasting_name, make_folder, sync_folder
from resizer.support.failpoints import Point, reach
from resizer.support.in_flight import InFlight
from resizer.support.shielded import to_its_end

logger = logging.getLogger(__name__)

#: bytes; at least one block of the disk
PROBE_SIZE = 4096
DRAFTS = ".*.draft"
#: file that tells the folder from others, for machines that believe to share it
IDENTITY = ".storage-id"
ABANDONED = 24 * 3600.0  # seconds; no image is worked on for as long
#: seconds for which a file waits for others at most: they share a trip to a thread and a sync of the folder
GATHER = 0.1
PATIENCE = 30.0  # seconds for which a file waits for a descriptor, as a download does by default
PAUSE = 0.5  # seconds between two tries then
ENOUGH = 8  # files that wait for no further ones: twice as many would share little more, and hold up workers


class LocalStorage:
    """A folder of compressed files.

    Drafts stand beside them as `.OWNER-NUMBER.draft`. Whoever uses the folder holds a shared lock on it,
    so that who starts on it can tell the leftovers of a crash from the drafts of a neighbour at work.
    Entering raises `ConfigError` where the folder cannot be used.
    """

    def __init__(self, folder: Path, in_flight: InFlight | None = None) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._owner = ""
        self._mode = 0o600
        self._numbers = itertools.count(1)
        #: drafts that wait for others, and their targets
        self._gathered: dict[Path, Path] = {}
        self._next_trip: asyncio.Task[dict[Path, OSError]] | None = None
        #: lets the next trip begin
        self._gathered_enough = asyncio.Event()
        self._in_flight = in_flight or InFlight()
        self._looks = _Looks()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._open)
        except OSError as error:
            raise ConfigError.of(
                "storage.path",
                f"the folder {self.folder} cannot be used: {disk_fault(error, self.folder)}",
                "name a folder that can be created and written to",
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close)

    async def identity(self) -> str:
        try:
            return await asyncio.to_thread(lasting_name, self.folder / IDENTITY)
        except OSError as error:
            raise StorageFailure(disk_fault(error, self.folder)) from error

    def draft(self) -> Path:
        if self._lock is None:
            raise RuntimeError("the storage is not open")
        return self.folder / f".{self._owner}-{next(self._numbers)}.draft"

    async def put(self, draft: Path, name: str) -> None:
        if not NAME.fullmatch(name):
            _remove(draft)
            raise ValueError(f"{name!r} is no name of a compressed file")
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        try:
            fault = await self._put(draft, name)
            while fault and shortage(fault) and loop.time() < until:
                await asyncio.sleep(PAUSE)
                fault = await self._put(draft, name)
        except BaseException:
            # after a cancellation the thread may still be at work; it makes no draft anew
            _remove(draft)
            raise
        if fault:
            _remove(draft)
            raise StorageFailure(disk_fault(fault, self.folder)) from fault

    async def check(self) -> None:
        probe = self.draft()
        try:
            await asyncio.to_thread(_write_probe, probe)
        except OSError as error:
            raise StorageFailure(disk_fault(error, self.folder)) from error
        finally:
            _remove(probe)

    async def find(self, name: str) -> Path | None:
        if not NAME.fullmatch(name):
            return None
        path = self.folder / name
        return path if await self._looks.at(path) else None

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path | None]:
        yield await self.find(name)

    async def delete(self, name: str) -> None:
        if not NAME.fullmatch(name):
            return
        try:
            with suppress(FileNotFoundError):
                await aiofiles.os.remove(self.folder / name)
        except OSError as error:
            raise StorageFailure(disk_fault(error, self.folder)) from error

    async def files(self) -> AsyncGenerator[dict[str, float], None]:
        with closing(_pages(self.folder)) as pages:
            while True:
                try:
                    # to its end: the folder must not be closed while a thread reads it
                    page = await to_its_end(asyncio.to_thread(next, pages, None))
                except OSError as error:
                    raise StorageFailure(disk_fault(error, self.folder)) from error
                if page is None:
                    return
                yield page

    async def sweep(self) -> None:
        try:
            await asyncio.to_thread(self._remove_drafts, time.time() - ABANDONED)
        except OSError as error:
            raise StorageFailure(disk_fault(error, self.folder)) from error

    async def _put(self, draft: Path, name: str) -> OSError | None:
        """Have the next trip take the draft along; returns what went wrong."""
        self._gathered[draft] = self.folder / name
        if self._next_trip is None:
            self._next_trip = asyncio.create_task(self._take_over_gathered())
        if len(self._gathered) >= min(ENOUGH, self._in_flight.images / 2):
            self._gathered_enough.set()
        return (await asyncio.shield(self._next_trip)).get(draft)

    async def _take_over_gathered(self) -> dict[Path, OSError]:
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                await self._gathered_enough.wait()
        self._gathered_enough.clear()
        gathered, self._gathered, self._next_trip = self._gathered, {}, None
        # another trip may begin meanwhile: the disk brings several syncs to an end together
        return await asyncio.to_thread(self._take_over_all, gathered)

    def _take_over_all(self, drafts: Mapping[Path, Path]) -> dict[Path, OSError]:
        """Make each draft durable under its name; returns what went wrong with which."""
        faults: dict[Path, OSError] = {}
        for draft, target in drafts.items():
            try:
                self._take_over(draft, target)
            except OSError as error:
                faults[draft] = error
        try:
            # also where the names were there: whoever renamed them may not have come to the sync yet
            sync_folder(self.folder)
        except OSError as error:
            faults = dict.fromkeys(drafts, error) | faults
        return faults

    def _take_over(self, draft: Path, target: Path) -> None:
        if target.exists():
            # another try may have renamed it, and failed to sync the folder
            draft.unlink(missing_ok=True)
            return
        file = os.open(draft, os.O_RDONLY)
        try:
            # whoever wrote the draft may have kept it to itself, as mkstemp does
            os.fchmod(file, self._mode)
            os.fsync(file)
        finally:
            os.close(file)
        # where two put one name at once the second replaces the first by the same bytes
        draft.replace(target)
        reach(Point.RENAMED)

    def _open(self) -> None:
        make_folder(self.folder)
        umask = os.umask(0o077)  # there is no way to read it but to set it
        os.umask(umask)
        self._mode = 0o666 & ~umask
        self._owner = secrets.token_hex(8)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.folder))
        self._lock = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        self._sweep(self._lock)

    def _close(self) -> None:
        for draft in self.folder.glob(f".{self._owner}-*.draft"):
            _remove(draft)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _sweep(self, lock: int) -> None:
        """Remove what a crash left; beside a neighbour at work only what nobody can be at any more."""
        alone = _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # with nobody else there all are left by a crash, of whatever time the clock then was
        self._remove_drafts(math.inf if alone else time.time() - ABANDONED)
        _locked(lock, fcntl.LOCK_SH)

    def _remove_drafts(self, newest: float) -> None:
        """Remove drafts that were last written then (seconds since the epoch) or before."""
        for draft in self.folder.glob(DRAFTS):
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime <= newest:
                    logger.info("removing %s, left by a crash", draft)
                    _remove(draft)


class _Looks:
    """Looks whether files are there; those asked for in one step of the loop share a trip to a thread."""

    def __init__(self) -> None:
        #: each path, and who waits to hear of it
        self._next: list[tuple[Path, asyncio.Future[bool]]] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def at(self, path: Path) -> bool:
        if not self._next:
            trip = asyncio.create_task(self._look())
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._next.append((path, told))
        return await told

    async def _look(self) -> None:
        looks, self._next = self._next, []
        try:
            # Path.is_file raises what keeps it from looking, and that would be raised for all of them
            found = await asyncio.to_thread(lambda: [os.path.isfile(path) for path, _ in looks])  # noqa: PTH113
        except asyncio.CancelledError:
            for _, told in looks:
                told.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each of those who wait raises it
            for _, told in looks:
                if not told.done():
                    told.set_exception(error)
            return
        for (_, told), there in zip(looks, found, strict=True):
            if not told.done():  # its caller was cancelled
                told.set_result(there)


def _pages(folder: Path) -> Generator[dict[str, float], None, None]:
    """Yield our files in the folder, from up to `PAGE` entries at once, each with when it was written."""
    with os.scandir(folder) as entries:
        while found := [*islice(entries, PAGE)]:
            page: dict[str, float] = {}
            for entry in found:
                if NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        # not when it arrived here (ctime), which chown and copying from a backup set anew
                        page[entry.name] = entry.stat().st_mtime
            yield page


def _write_probe(path: Path) -> None:
    with path.open("wb") as file:
        file.write(bytes(PROBE_SIZE))
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error.strerror)


def _locked(file: int, how: int) -> bool:
    """Lock the folder; False where another holds it, or where the file system knows no locks."""
    try:
        fcntl.flock(file, how)
    except OSError:
        return False
    return True
