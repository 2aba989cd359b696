"""Write files whole: complete under their name and on disk, or absent."""

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

#: a draft of `atomic_write` or `create_once`
DRAFT = re.compile(r"[.][0-9a-f]{16}[.]draft")
ABANDONED = 24 * 3600.0  # seconds; no draft is written for as long


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and sync the names of those that are new. Raises `OSError`.

    A parent that may not be read cannot be synced: the system writes its names to disk later.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        with suppress(PermissionError):
            sync(each.parent)


def sync(path: Path) -> None:
    """Write a file's content to disk, or a folder's names: syncing a file does not sync its name."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def check_replaceable(target: Path) -> None:
    """Raise `OSError` where no file can be written: the folder is missing, or the target is not a file."""
    target = target.resolve()
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "it is not a file that could be replaced", str(target))
    if not os.access(target.parent, os.W_OK | os.X_OK):
        reason = errno.EACCES if target.parent.is_dir() else errno.ENOENT
        raise OSError(reason, os.strerror(reason), str(target.parent))


@contextmanager
def atomic_write(target: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield an empty draft that replaces the target at the end; an error leaves the target as it is.

    A symbolic link is followed. The umask is subtracted from `mode`. Raises `OSError`.
    """
    target = target.resolve()
    check_replaceable(target)
    remove_old_drafts(target.parent)
    with _draft_beside(target, mode) as draft:
        yield draft
        publish(draft, target)
    sync(target.parent)


def publish(draft: Path, target: Path) -> None:
    """Sync a draft and give it its final name, which is on disk once its folder is synced."""
    sync(draft)
    draft.replace(target)


def create_once(target: Path, text: str, *, mode: int = 0o666) -> str:
    """Write a line of ASCII unless the file exists; returns the line it holds.

    Concurrent writers all get the line of the first. Raises `OSError`, `UnicodeDecodeError`.
    """
    if not target.exists():
        with _draft_beside(target, mode) as draft:
            draft.write_text(f"{text}\n", encoding="ascii")
            sync(draft)
            try:
                # unlike a rename, a link never replaces a file
                target.hardlink_to(draft)
            except FileExistsError:
                logger.debug("%s exists: another process was first", target)
            except OSError:  # the file system has no links
                draft.replace(target)
    sync(target.parent)
    return target.read_text(encoding="ascii").strip()


@contextmanager
def _draft_beside(target: Path, mode: int) -> Iterator[Path]:
    draft = target.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def remove_old_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left. Raises `OSError`."""
    with suppress(PermissionError):  # a folder that may not be read can hold the target all the same
        for draft in [each for each in folder.iterdir() if DRAFT.fullmatch(each.name)]:
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < time.time() - ABANDONED:
                    logger.info("removing %s, left by a crash", draft)
                    draft.unlink()
