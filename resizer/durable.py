"""Make folders and files that are still there after the power went."""

import os
from contextlib import suppress
from pathlib import Path


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
