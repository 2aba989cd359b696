"""Make folders and files that are still there after the power went."""

import errno
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

#: a draft of `replacing`
DRAFT = re.compile(r"[.][0-9a-f]{16}[.]draft")
ABANDONED = 24 * 3600.0  # seconds; no draft is written for as long


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; whichever is new is on disk. Raises `OSError`.

    A folder that may not be read cannot be synced: what is new in it comes to disk in the system's own time.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        with suppress(PermissionError):
            sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk: syncing a file does so only for what is in it."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def check_replaceable(target: Path) -> None:
    """Raise `OSError` where no file could be put: in no folder, or in the place of a folder or a device."""
    target = target.resolve()
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "it is no file that could be replaced", str(target))
    if not os.access(target.parent, os.W_OK | os.X_OK):
        reason = errno.EACCES if target.parent.is_dir() else errno.ENOENT
        raise OSError(reason, os.strerror(reason), str(target.parent))


@contextmanager
def replacing(target: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Give an empty draft that takes the target's place at the end; after an error that is as it was.

    Where a link leads to it, it is replaced there. `mode` holds less the umask. Raises `OSError`.
    """
    target = target.resolve()
    check_replaceable(target)
    remove_old_drafts(target.parent)
    draft = target.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield draft
        draft.replace(target)
        sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def remove_old_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes have left of `replacing`. Raises `OSError`."""
    with suppress(PermissionError):  # such a folder can hold the target all the same
        for draft in [each for each in folder.iterdir() if DRAFT.fullmatch(each.name)]:
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < time.time() - ABANDONED:
                    logger.info("removing %s, left by a crash", draft)
                    draft.unlink()


def lasting_name(path: Path) -> str:
    """Return the name in this file; who finds none there makes one up, at random. Raises `OSError`.

    Of several that come first at once all get the same.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = secrets.token_hex(8)
    draft = path.with_name(f"{path.name}.{name}.draft")
    try:
        with draft.open("x", encoding="ascii") as file:
            file.write(f"{name}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another was first
        except OSError:  # a file system without links
            draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text(encoding="ascii").strip()
