"""What a fault of the disk, or of the system, means for the person who runs the service."""

import errno
import os
from pathlib import Path

#: nothing of these is left to the process or to the machine; it may be in a moment
SHORTAGES = {
    errno.EMFILE: (
        "this process has as many files and connections open as it may; "
        "raise its limit: ulimit -n, LimitNOFILE= of systemd"
    ),
    errno.ENFILE: "this machine has as many files open as it may; raise its limit: fs.file-max",
    errno.ENOBUFS: "the system has no memory left for connections; free some",
    errno.ENOMEM: "the system gives this process no more memory; free some, or raise its limit",
    errno.EAGAIN: (
        "the system gives this process no more threads; raise its limit: ulimit -u, TasksMax= of systemd"
    ),
}
REASONS = {
    errno.ENOSPC: "no space left on the disk of {folder}; free some",
    errno.EDQUOT: "the disk quota of {folder} is used up; raise it, or free some space",
    errno.EACCES: "no permission to write to {folder}; let the service's user write there",
    errno.EPERM: "no permission to write to {folder}; let the service's user write there",
    errno.EROFS: "the disk of {folder} is mounted read-only",
    errno.EIO: "the disk of {folder} reports faults; check it",
}
NO_INODE = (
    "no space left for another file on the disk of {folder}, whose inodes are used up; remove some files"
)
#: what Python says where a thread cannot be started
NO_THREAD = "can't start new thread"
#: of these none is left
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_fault(error: OSError, folder: Path) -> str:
    """Return what is wrong with this folder, and what to do about it."""
    known = REASONS.get(error.errno or 0)
    if error.errno == errno.ENOSPC and _has_no_inode(folder):
        known = NO_INODE
    if known:
        return known.format(folder=folder)
    return shortage(error) or f"{error.strerror or 'a fault of the system'} ({error.filename or folder})"


def _has_no_inode(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    # some file systems have no number of files
    return disk.f_files > 0 and disk.f_favail == 0


def shortage(error: BaseException) -> str | None:
    """Return what the system lacked and what to do about it; None where the error is another."""
    match error:
        case MemoryError():
            return SHORTAGES[errno.ENOMEM]
        case OSError():
            return SHORTAGES.get(error.errno or 0)
        case RuntimeError() if str(error) == NO_THREAD:
            return SHORTAGES[errno.EAGAIN]
        case _:
            return None
