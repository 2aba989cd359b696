"""Own a data folder: lock it, and remove what a killed process left in it."""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from resizer.config import Settings
from resizer.errors import ConfigError, DatabaseUnusable, DataFolderInUse, disk_fault
from resizer.support.atomic_file import make_folder, remove_old_drafts

logger = logging.getLogger(__name__)


@contextmanager
def own_folder(settings: Settings) -> Iterator[None]:
    """Keep every server off the data folder and its database. Raises `DataFolderInUse`, `ConfigError`."""
    with ExitStack() as stack:
        take_folder(settings, stack)
        yield


def is_in_use(settings: Settings) -> bool:
    """Return whether a server runs on the data folder. Raises `ConfigError`."""
    file = settings.data_folder / "lock"
    try:
        with ExitStack() as stack:
            if file.exists():
                _lock(file, stack, owned=settings.data_folder)
    except DataFolderInUse:
        return True
    except OSError as error:
        raise ConfigError.unusable_folder("data_dir", settings.data_folder, error) from error
    return False


def take_folder(settings: Settings, stack: ExitStack) -> None:
    """Lock the data folder and the database until the stack closes, and remove what a crash left.

    Raises `DataFolderInUse`, `ConfigError`, `DatabaseUnusable`.
    """
    folder = settings.data_folder
    try:
        make_folder(folder)
        settings.spool_folder.mkdir(exist_ok=True)
        _lock(folder / "lock", stack, owned=folder)
        for left in settings.spool_folder.iterdir():
            if left.is_file():
                logger.info("removing %s, left by a crash", left)
                left.unlink()
        remove_old_drafts(folder)
        if _worker_folders(settings).is_dir():
            _remove_abandoned(_worker_folders(settings))
    except OSError as error:
        raise ConfigError.unusable_folder("data_dir", folder, error) from error
    # a database outside the folder could be another service's, and that in it could be named by another;
    # the lock stands beside the file itself, whatever link leads there
    file = settings.database_file.resolve()
    try:
        make_folder(file.parent)
        _lock(file.with_name(f"{file.name}.lock"), stack, owned=file)
        remove_old_drafts(file.parent)
    except OSError as error:
        raise DatabaseUnusable(str(file), disk_fault(error, file.parent)) from error


def take_worker_folder(settings: Settings, stack: ExitStack) -> Path:
    """Make a spool for one worker of those that share the data folder; it is removed with the stack.

    Raises `ConfigError`.
    """
    spools = _worker_folders(settings)
    try:
        make_folder(spools)
        _remove_abandoned(spools)
        with _alone_in(spools):
            spool = Path(tempfile.mkdtemp(dir=spools))
            _lock(spool / "lock", stack, owned=spool)
        stack.callback(shutil.rmtree, spool, ignore_errors=True)
    except OSError as error:
        raise ConfigError.unusable_folder("data_dir", spools, error) from error
    return spool


def _worker_folders(settings: Settings) -> Path:
    return settings.data_folder / "workers"


def _remove_abandoned(spools: Path) -> None:
    """Remove the spools of workers that were killed. Raises `OSError`."""
    with _alone_in(spools):
        for left in filter(Path.is_dir, spools.iterdir()):
            with ExitStack() as own, suppress(DataFolderInUse):
                _lock(left / "lock", own, owned=left)
                logger.info("removing %s, left by a crash", left)
                shutil.rmtree(left)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until nobody else is within."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _lock(path: Path, stack: ExitStack, *, owned: Path) -> None:
    """Hold a lock for as long as the stack is open. Raises `DataFolderInUse`, `OSError`."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    stack.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataFolderInUse(str(owned)) from error
