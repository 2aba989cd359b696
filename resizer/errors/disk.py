"""What a fault of the disk means for the person who runs the service."""

import errno
from pathlib import Path

REASONS = {
    errno.ENOSPC: "no space left on the disk of {folder}; free some",
    errno.EDQUOT: "the disk quota of {folder} is used up; raise it, or free some space",
    errno.EACCES: "no permission to write to {folder}; let the service's user write there",
    errno.EPERM: "no permission to write to {folder}; let the service's user write there",
    errno.EROFS: "the disk of {folder} is mounted read-only",
    errno.EIO: "the disk of {folder} reports faults; check it",
}
#: of these none is left
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_fault(error: OSError, folder: Path) -> str:
    """Return what is wrong with this folder, and what to do about it."""
    known = REASONS.get(error.errno or 0)
    if known:
        return known.format(folder=folder)
    return f"{error.strerror or 'a fault of the system'} ({error.filename or folder})"
