"""A child process that calls functions, and everything that runs in it."""

import ctypes
import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any, Self

from resizer.support.allocator import keep_freed_memory

#: what the fork server imports once for all children; the last for the main module, which each of them runs
PRELOAD = [__name__, "resizer.compress.calls", "resizer.compress.codec", "resizer.cli"]
MEMORY_EXHAUSTED = 70  # exit status of a child; for whoever traces it
ORPHAN_CHECK = 2.0  # seconds between two looks at whether the fork server is still there
HUGE_PAGES = "glibc.malloc.hugetlb=1"  # asks for pages of 2 MiB: 3 % of the time of a JPEG
KEPT_MEMORY = 128 * 2**20  # bytes; the pixels of a photo of 10 megapixels, and what is made of them


#: where a child notes what it is at, in memory that it shares with its parent: the number of the call that it
#: has begun last, and when, by the system's clock
Notes = ctypes.Array[ctypes.c_double]
BEGUN, SINCE = 0, 1

_notes: Notes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What became of a call: one of both is None."""

    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Child:
    executor: ProcessPoolExecutor
    pid: int
    #: file descriptor that stands for the process itself: its number may be another's once it is dead
    handle: int | None
    notes: Notes

    @classmethod
    def start(cls, memory_limit: int | None) -> Self:
        """Start a process and wait until it answers; blocks."""
        with _signals_held_back():
            context = _context()
            notes = context.RawArray(ctypes.c_double, 2)
            executor = ProcessPoolExecutor(
                1, mp_context=context, initializer=_prepare, initargs=(memory_limit, notes)
            )
            try:
                pid = executor.submit(os.getpid).result()
                return cls(executor, pid, _handle(pid), notes)
            except BaseException:
                with suppress(RuntimeError):  # its own thread may be what could not be started
                    executor.shutdown()
                raise

    @property
    def begun(self) -> int:
        """The number of the call that it has begun last; 0 before the first."""
        return int(self.notes[BEGUN])

    @property
    def since(self) -> float:
        """When it began the last one, by the system's clock, or a later one where `begun` was read before."""
        return self.notes[SINCE]

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self.handle is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and free what belongs to it, once; blocks."""
        self.kill()
        self.executor.shutdown()
        if self.handle is not None:
            os.close(self.handle)


def warm_up() -> None:
    """Start what children are forked from; it imports what they need while the caller goes on."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        with _signals_held_back():
            _context()
            forkserver.ensure_running()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Have what is started within take neither SIGINT nor SIGTERM.

    Ctrl-C and systemd signal the whole group: the fork server would die of it, and with it the children as it
    seems to their executors. It inherits this mask, and hands it on.
    """
    # the tracker unblocks these signals when it is started, so it must run before
    resource_tracker.ensure_running()
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def _handle(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None  # only Linux knows such
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # too old a kernel, too narrow a sandbox, or it is dead already


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    # read when a process is executed, as the fork server is; children inherit its allocator
    os.environ.setdefault("GLIBC_TUNABLES", HUGE_PAGES)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _prepare(memory_limit: int | None, notes: Notes) -> None:
    """Make a child ready: the parent alone decides about its end, or the parent's own end."""
    global _notes  # noqa: PLW0603 - of this process, which makes one call at a time
    _notes = notes
    keep_freed_memory(KEPT_MEMORY, one_arena=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory_limit is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_limit if most == resource.RLIM_INFINITY else min(memory_limit, most)
        # macOS knows no such limit: better no limit there than no service
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with_parent() -> None:
    # A child that is idle waits on a pipe of which it holds both ends: it would wait for ever. And one whose
    # fork server is gone looks dead to its executor, which may not have learnt whom to kill.
    parent, starter = multiprocessing.parent_process(), os.getppid()
    if parent is not None:
        while parent.is_alive() and os.getppid() == starter:
            parent.join(ORPHAN_CHECK)
        os._exit(0)


def in_child(first: int, calls: Sequence[Callable[[], Any]]) -> tuple[list[Ended], float]:
    """Make these calls, numbered from `first`; returns what became of each, and how many seconds all took."""
    began = time.monotonic()
    return [_made(number, call) for number, call in enumerate(calls, first)], time.monotonic() - began


def _made(number: int, call: Callable[[], Any]) -> Ended:
    assert _notes is not None  # noqa: S101 - the child was prepared
    _notes[SINCE] = time.monotonic()
    _notes[BEGUN] = number
    try:
        return Ended(result=call())
    except MemoryError:
        # what is left in memory is unknown; a new process is cheap
        os._exit(MEMORY_EXHAUSTED)
    except BaseException as error:  # noqa: BLE001 - its caller raises it
        if isinstance(error, Exception) and _can_travel(error):
            return Ended(error=error)
        return Ended(error=RuntimeError(f"{type(error).__name__}: {error}"))


def _can_travel(error: Exception) -> bool:
    """Say whether the parent can raise it: StopIteration would be lost there."""
    if isinstance(error, StopIteration):
        return False
    try:
        # one that cannot be read again would break the executor, and look like a crash of the child
        pickle.loads(pickle.dumps(error))  # noqa: S301  just made here
    except Exception:  # noqa: BLE001  whatever its own methods raise
        return False
    return True
