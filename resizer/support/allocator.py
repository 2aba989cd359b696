"""Have memory that is used again and again kept, and seldom looked through."""

import ctypes
import gc

#: numbers in glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
#: objects made before Python looks for unused circles among them, and how many such looks before it looks at
#: older ones too; an image makes some thousand objects and no circles to speak of
NEW_OBJECTS, LOOKS = 20_000, 20


def keep_freed_memory(most: int, *, one_arena: bool = False) -> None:
    """Have glibc keep `most` bytes of what this process frees, for what comes next.

    With `one_arena` all threads share the first one: each of their own would take 64 MiB of address space,
    which counts in a process whose threads take turns and whose address space is limited.

    As shipped it gives large pieces back to the kernel, which clears each of their pages before it hands
    them out again: a fifth of the time of fetching a photo, and 6 ms of compressing it. Another C
    library is left as it is.
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
    """Have Python look for unused circles of objects seldom, and never among those that are there now.

    As shipped it looks several times an image: a twentieth to a tenth of what that takes of the server.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, LOOKS, LOOKS)
