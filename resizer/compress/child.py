"""A child process that runs functions, and the code that runs inside it."""

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

#: modules that the fork server imports once for all children; the last one for the main module
PRELOAD = [__name__, "resizer.compress.calls", "resizer.compress.codec", "resizer.cli"]
MEMORY_EXHAUSTED = 70  # exit status of a child; only a tracer sees it
ORPHAN_CHECK = 2.0  # seconds between two checks that the fork server is alive
HUGE_PAGES = "glibc.malloc.hugetlb=1"  # asks for pages of 2 MiB: 3 % of the time of a JPEG
KEPT_MEMORY = 128 * 2**20  # bytes; the pixels of a photo of 10 megapixels and of its result

#: In memory that a child shares with its parent: the number of the call that it began last, and the time of
#: the system's monotonic clock at which it began.
Heartbeat = ctypes.Array[ctypes.c_double]
CALL, SINCE = 0, 1

_heartbeat: Heartbeat | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOutcome:
    """The result of a call, or the error that it raised."""

    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A process of one executor."""

    executor: ProcessPoolExecutor
    pid: int
    #: pidfd; the pid of a dead process may be reused, this is not
    handle: int | None
    heartbeat: Heartbeat

    @classmethod
    def start(cls, memory_limit: int | None) -> Self:
        """Start a process and wait until it answers; blocks."""
        with _signals_blocked():
            context = _context()
            heartbeat = context.RawArray(ctypes.c_double, 2)
            executor = ProcessPoolExecutor(
                1, mp_context=context, initializer=_prepare, initargs=(memory_limit, heartbeat)
            )
            try:
                pid = executor.submit(os.getpid).result()
                return cls(executor, pid, _pidfd(pid), heartbeat)
            except BaseException:
                with suppress(RuntimeError):  # the executor's own thread may have failed to start
                    executor.shutdown()
                raise

    @property
    def current_call(self) -> int:
        """The number of the call that it began last; 0 before the first."""
        return int(self.heartbeat[CALL])

    @property
    def current_since(self) -> float:
        """When it began `current_call`, or a later call if that was read before."""
        return self.heartbeat[SINCE]

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self.handle is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and free its resources; blocks, and may be called once."""
        self.kill()
        self.executor.shutdown()
        if self.handle is not None:
            os.close(self.handle)


def warm_up() -> None:
    """Start the fork server, which imports the codec while the caller continues."""
    with _signals_blocked():
        if _context().get_start_method() == "forkserver":
            forkserver.ensure_running()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Have processes that are started within ignore SIGINT and SIGTERM.

    Ctrl-C and systemd signal the whole process group. That would kill the fork server, and every executor
    would take its child for dead. The fork server inherits this mask and passes it on.
    """
    # Starting the resource tracker unblocks these signals, so it must run before.
    resource_tracker.ensure_running()
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None  # not Linux, an old kernel, a narrow sandbox, or a process that is already dead


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    # glibc reads it when a program is executed, as the fork server is; forked children inherit the setting.
    os.environ.setdefault("GLIBC_TUNABLES", HUGE_PAGES)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _prepare(memory_limit: int | None, heartbeat: Heartbeat) -> None:
    """Set the child up; it ends only when its parent kills it or ends itself."""
    global _heartbeat  # noqa: PLW0603 - of this process, which runs one call at a time
    _heartbeat = heartbeat
    keep_freed_memory(KEPT_MEMORY, one_arena=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory_limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = memory_limit if hard == resource.RLIM_INFINITY else min(memory_limit, hard)
        with suppress(OSError, ValueError):  # macOS has no such limit
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with_parent() -> None:
    # An idle child waits on a pipe and holds both of its ends, so it would wait for ever. A child whose fork
    # server died looks dead to its executor, which may not know the pid to kill.
    parent, fork_server = multiprocessing.parent_process(), os.getppid()
    if parent is not None:
        while parent.is_alive() and os.getppid() == fork_server:
            parent.join(ORPHAN_CHECK)
        os._exit(0)


def run_calls(first: int, calls: Sequence[Callable[[], Any]]) -> tuple[list[CallOutcome], float]:
    """Run calls in a child, numbered from `first`; returns their outcomes and the seconds they all took."""
    began = time.monotonic()
    return [_run_call(number, call) for number, call in enumerate(calls, first)], time.monotonic() - began


def _run_call(number: int, call: Callable[[], Any]) -> CallOutcome:
    assert _heartbeat is not None  # noqa: S101 - the child was prepared
    _heartbeat[SINCE] = time.monotonic()
    _heartbeat[CALL] = number
    try:
        return CallOutcome(result=call())
    except MemoryError:
        # What remains in memory is unknown; a new process is cheap.
        os._exit(MEMORY_EXHAUSTED)
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        if isinstance(error, Exception) and _can_be_sent(error):
            return CallOutcome(error=error)
        return CallOutcome(error=RuntimeError(f"{type(error).__name__}: {error}"))


def _can_be_sent(error: Exception) -> bool:
    """Say whether the parent can unpickle and raise the error; a future cannot raise StopIteration."""
    if isinstance(error, StopIteration):
        return False
    try:
        # An error that cannot be unpickled would break the executor, as a crash of the child does.
        pickle.loads(pickle.dumps(error))  # noqa: S301  pickled on this line
    except Exception:  # noqa: BLE001  raised by the error's own methods
        return False
    return True
