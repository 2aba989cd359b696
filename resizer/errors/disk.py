"""Explain an error of the disk or of the operating system to the operator."""

import errno
import os
from pathlib import Path

#: resources that the process or the machine has run out of, perhaps for a moment only
SHORTAGES = {
    errno.EMFILE: (
        "too many open files and connections in this process; "
        "raise its limit: ulimit -n, LimitNOFILE= of systemd"
    ),
    errno.ENFILE: "too many open files on this machine; raise its limit: fs.file-max",
    errno.ENOBUFS: "no memory left for connections; free some",
    errno.ENOMEM: "no memory left for this process; free some, or raise its limit",
    errno.EAGAIN: (
        "cannot start another thread in this process; raise its limit: ulimit -u, TasksMax= of systemd"
    ),
}
REASONS = {
    errno.ENOSPC: "no space left on the disk of {folder}; free some",
    errno.EDQUOT: "the disk quota of {folder} is exhausted; raise it, or free some space",
    errno.EACCES: "no permission to write to {folder}; let the service's user write there",
    errno.EPERM: "no permission to write to {folder}; let the service's user write there",
    errno.EROFS: "the disk of {folder} is mounted read-only",
    errno.EIO: "the disk of {folder} reports errors; check it",
}
NO_INODE = "no inodes left for another file on the disk of {folder}; remove some files"
#: Python's message if a thread cannot be started
NO_THREAD = "can't start new thread"
#: error numbers of a full disk
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_fault(error: OSError, folder: Path) -> str:
    """Return the fault of this folder and its remedy."""
    known = REASONS.get(error.errno or 0)
    if error.errno == errno.ENOSPC and _has_no_inode(folder):
        known = NO_INODE
    if known:
        return known.format(folder=folder)
    return shortage(error) or f"{error.strerror or 'system error'} ({error.filename or folder})"


def _has_no_inode(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    # some file systems do not count inodes
    return disk.f_files > 0 and disk.f_favail == 0


def shortage(error: BaseException) -> str | None:
    """Return the resource that ran out and the remedy; None for any other error."""
    match error:
        case MemoryError():
            return SHORTAGES[errno.ENOMEM]
        case OSError():
            return SHORTAGES.get(error.errno or 0)
        case RuntimeError() if str(error) == NO_THREAD:
            return SHORTAGES[errno.EAGAIN]
        case _:
            return None
