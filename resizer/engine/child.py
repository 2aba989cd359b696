"""A child process that calls functions, and everything that runs in it."""

import multiprocessing
import os
import pickle
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from typing import Self, TypeVar

from resizer.allocator import keep_freed_memory

R = TypeVar("R")

#: what the fork server imports once for all children
PRELOAD = [__name__, "resizer.engine.calls", "resizer.images.codec"]
MEMORY_EXHAUSTED = 70  # exit status of a child; for whoever traces it
ORPHAN_CHECK = 2.0  # seconds between two looks at whether the fork server is still there
KEPT_MEMORY = 128 * 2**20  # bytes; the pixels of a photo of 10 megapixels, and what is made of them


@dataclass(frozen=True, slots=True)
class Child:
    executor: ProcessPoolExecutor
    pid: int
    #: file descriptor that stands for the process itself: its number may be another's once it is dead
    handle: int | None

    @classmethod
    def start(cls, memory_limit: int | None) -> Self:
        """Start a process and wait until it answers; blocks."""
        # the tracker unblocks the signals below when it is started, so it must run before
        resource_tracker.ensure_running()
        # Ctrl-C and systemd signal the whole group: the fork server would die of it, and with it the
        # children as it seems to their executors. It inherits this mask, and hands it on.
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            executor = ProcessPoolExecutor(
                1, mp_context=_context(), initializer=_prepare, initargs=(memory_limit,)
            )
            try:
                pid = executor.submit(os.getpid).result()
                return cls(executor, pid, _handle(pid))
            except BaseException:
                executor.shutdown()
                raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)

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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _prepare(memory_limit: int | None) -> None:
    """Make a child ready: the parent alone decides about its end, or the parent's own end."""
    keep_freed_memory(KEPT_MEMORY)
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


def in_child(call: Callable[[], R]) -> R:
    try:
        return call()
    except MemoryError:
        # what is left in memory is unknown; a new process is cheap
        os._exit(MEMORY_EXHAUSTED)
    except BaseException as error:
        if not _can_travel(error):
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise


def _can_travel(error: BaseException) -> bool:
    """Say whether the parent can raise it: SystemExit would end the parent, StopIteration be lost."""
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        return False
    try:
        # one that cannot be read again would break the executor, and look like a crash of the child
        pickle.loads(pickle.dumps(error))  # noqa: S301  just made here
    except Exception:  # noqa: BLE001  whatever its own methods raise
        return False
    return True
