"""Store compressed files in a folder of this machine, or in one that several machines share."""

import asyncio
import errno
import fcntl
import itertools
import logging
import math
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Self

import aiofiles.os

from resizer.errors import ConfigError, StorageFailure, disk_fault, shortage
from resizer.storage.base import NAME, PAGE, disk_failures
from resizer.support.atomic_file import create_once, make_folder, publish, sync
from resizer.support.coalescer import Coalescer
from resizer.support.failpoints import Point, reach
from resizer.support.in_flight import InFlight
from resizer.support.shielded import shielded
from resizer.support.threads import THREADS

logger = logging.getLogger(__name__)

#: bytes; at least one block of the disk
PROBE_SIZE = 4096
DRAFTS = ".*.draft"
#: file with the folder's id, by which machines find out whether they share it
IDENTITY = ".storage-id"
ABANDONED = 24 * 3600.0  # seconds; no image is processed for as long
#: seconds a file waits for others, which share a trip to a thread and a sync of the folder
GATHER = 0.1
ENOUGH = 8  # files that wait for no others: twice as many would save little more, and hold up workers
PATIENCE = 30.0  # seconds a file waits for a free descriptor, as a download does by default
PAUSE = 0.5  # seconds between two tries to get one


class LocalStorage:
    """A folder of compressed files, with their drafts beside them as `.OWNER-NUMBER.draft`.

    Each process that uses the folder holds a shared lock on it; the first one to start can therefore tell
    the drafts of a crash from those of a running process. Entering raises `ConfigError` if the folder
    cannot be used.
    """

    def __init__(self, folder: Path, in_flight: InFlight) -> None:
        self.folder = folder
        self._lock: int | None = None
        self._owner = ""
        self._mode = 0o600
        self._numbers = itertools.count(1)
        # batches overlap: the disk completes concurrent syncs together
        self._puts = Coalescer(
            self._put_batch,
            in_flight=in_flight,
            max_items=PAGE,
            max_batches=THREADS,
            max_wait=GATHER,
            enough=ENOUGH,
        )
        self._lookups = Coalescer(_look_up, in_flight=in_flight, max_items=PAGE, max_batches=THREADS)

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._open)
        except OSError as error:
            raise ConfigError.unusable_folder("storage.path", self.folder, error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._puts.aclose()
        await self._lookups.aclose()
        await asyncio.to_thread(self._close)

    async def identity(self) -> str:
        with disk_failures(self.folder):
            return await asyncio.to_thread(create_once, self.folder / IDENTITY, secrets.token_hex(8))

    def draft(self) -> Path:
        if self._lock is None:
            raise RuntimeError("the storage is not open")
        return self.folder / f".{self._owner}-{next(self._numbers)}.draft"

    async def put(self, draft: Path, name: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        try:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of a compressed file")
            while True:
                try:
                    await self._puts.submit((draft, self.folder / name))
                except OSError as error:
                    if not shortage(error) or loop.time() >= until:
                        raise StorageFailure(disk_fault(error, self.folder)) from error
                    await asyncio.sleep(PAUSE)
                else:
                    return
        finally:
            # also while a thread works on it after a cancellation: a thread never creates a draft
            _remove(draft)

    async def check(self) -> None:
        probe = self.draft()
        try:
            with disk_failures(self.folder):
                await asyncio.to_thread(_write_probe, probe)
        finally:
            _remove(probe)

    async def find(self, name: str) -> Path | None:
        if not NAME.fullmatch(name):
            return None
        path = self.folder / name
        return path if await self._lookups.submit(path) else None

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path | None]:
        yield await self.find(name)

    async def delete(self, name: str) -> None:
        if NAME.fullmatch(name):
            with disk_failures(self.folder), suppress(FileNotFoundError):
                await aiofiles.os.remove(self.folder / name)

    async def files(self) -> AsyncGenerator[dict[str, float], None]:
        with closing(_pages(self.folder)) as pages:
            while True:
                with disk_failures(self.folder):
                    # shielded: the folder must not be closed while a thread reads it
                    page = await shielded(asyncio.to_thread(next, pages, None))
                if page is None:
                    return
                yield page

    async def sweep(self) -> None:
        with disk_failures(self.folder):
            await asyncio.to_thread(self._remove_drafts, time.time() - ABANDONED)

    async def _put_batch(self, puts: Sequence[tuple[Path, Path]]) -> list[Exception | None]:
        return await asyncio.to_thread(self._publish_all, puts)

    def _publish_all(self, puts: Sequence[tuple[Path, Path]]) -> list[Exception | None]:
        """Publish each draft under its target; returns what failed, in the same order."""
        errors = [self._publish(draft, target) for draft, target in puts]
        try:
            # also for a target that exists: the process that renamed it may not have synced the folder yet
            sync(self.folder)
        except OSError as error:
            return [each or error for each in errors]
        return errors

    def _publish(self, draft: Path, target: Path) -> Exception | None:
        try:
            if not target.exists():
                # a draft may be readable by its owner only, as mkstemp makes it
                draft.chmod(self._mode)
                # of two puts of one name the second replaces the first by the same bytes
                publish(draft, target)
                reach(Point.RENAMED)
        except OSError as error:
            return error
        return None

    def _open(self) -> None:
        make_folder(self.folder)
        umask = os.umask(0o077)  # reading it requires setting it
        os.umask(umask)
        self._mode = 0o666 & ~umask
        self._owner = secrets.token_hex(8)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.folder))
        self._lock = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        alone = _locked(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # without another process all drafts are a crash's, whatever the clock said when they were written
        self._remove_drafts(math.inf if alone else time.time() - ABANDONED)
        _locked(self._lock, fcntl.LOCK_SH)

    def _close(self) -> None:
        for draft in self.folder.glob(f".{self._owner}-*.draft"):
            _remove(draft)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove_drafts(self, newest: float) -> None:
        """Remove drafts last written at `newest` (seconds since the epoch) or before."""
        for draft in self.folder.glob(DRAFTS):
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime <= newest:
                    logger.info("removing %s, left by a crash", draft)
                    _remove(draft)


async def _look_up(paths: Sequence[Path]) -> list[bool]:
    # Path.is_file raises some errors, and they would be raised to all callers
    return await asyncio.to_thread(lambda: [os.path.isfile(path) for path in paths])  # noqa: PTH113


def _pages(folder: Path) -> Generator[dict[str, float], None, None]:
    """Yield compressed files with their time of writing, from at most `PAGE` entries of the folder each."""
    with os.scandir(folder) as entries:
        while found := [*islice(entries, PAGE)]:
            page: dict[str, float] = {}
            for entry in found:
                if NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        # not ctime, which chown and a restored backup set anew
                        page[entry.name] = entry.stat().st_mtime
            yield page


def _write_probe(path: Path) -> None:
    path.write_bytes(bytes(PROBE_SIZE))
    sync(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("cannot remove %s: %s", path, error.strerror)


def _locked(file: int, how: int) -> bool:
    """Lock the folder; False if another process holds the lock, or the file system has none."""
    try:
        fcntl.flock(file, how)
    except OSError:
        return False
    return True
