"""Tune memory: glibc keeps freed memory, and Python collects garbage rarely."""

import ctypes
import gc

#: parameters of mallopt in glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
#: new objects until a collection of the youngest generation, and such collections until one of the next; an
#: image makes some thousand objects and hardly any reference cycles
NEW_OBJECTS, COLLECTIONS = 20_000, 20


def keep_freed_memory(most: int, *, one_arena: bool = False) -> None:
    """Have glibc keep up to `most` freed bytes for reuse; does nothing with another C library.

    By default it returns large blocks to the kernel, which clears their pages before reuse: a fifth of the
    time to fetch a photo, and 6 ms of its compression. With `one_arena` all threads share the first arena:
    each further one takes 64 MiB of address space, which may be limited.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_MMAP_THRESHOLD, most // 4)
    mallopt(M_TRIM_THRESHOLD, most)
    if one_arena:
        mallopt(M_ARENA_MAX, 1)


def collect_seldom() -> None:
    """Collect reference cycles rarely, and never among the objects that exist now.

    By default Python collects several times for each image: 5 to 10 % of the server's time for it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, COLLECTIONS, COLLECTIONS)
