"""Read the processor time and memory of processes from /proc."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CPUCLOCK_SCHED = 2  # of the kernel's posix-timers.h: time on a processor, all threads, user and system
#: seconds between two looks at the memory; a look at one process takes about a millisecond
LOOK = 0.05
MIB = 2**20


class Peak:
    """The most memory that processes have had together, in MiB."""

    mib = 0.0


class Steal:
    """How much of the processors' time the machine below has given to others since this was made."""

    def __init__(self) -> None:
        self._before = self._now()

    @property
    def percent(self) -> float:
        stolen, ticks = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return 100 * stolen / max(1, ticks)

    @staticmethod
    def _now() -> tuple[int, int]:
        # user, nice, system, idle, iowait, irq, softirq, steal
        _, *ticks = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[:9]
        return int(ticks[-1]), sum(map(int, ticks))


def descendants(pid: int) -> list[int]:
    """Return all that descend from a process, without itself."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(children.get(pid, ()))
    for each in found:
        found += children.get(each, ())
    return found


def cpu_ms(pids: Iterable[int]) -> float:
    """Return the processor time that these have taken since they were started, in ms."""
    return sum(map(_cpu_ms, pids))


def pss_mib(pids: Iterable[int]) -> float:
    """Return the memory of these; what is shared counts in equal parts for all who share it."""
    return sum(map(_pss, pids))


def high_water_mib(pid: int) -> float:
    """Return the most memory that one process has ever had, with what it shares with others."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / MIB


@contextmanager
def watched(pids: Callable[[], Iterable[int]]) -> Iterator[Peak]:
    """Look at the memory of these all the time, and keep the most.

    It slows them down: measure no time concurrently.
    """
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while True:
            peak.mib = max(peak.mib, pss_mib(pids()))
            if done.wait(LOOK):
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        done.set()
        watching.join()


def _cpu_ms(pid: int) -> float:
    # what clock_getcpuclockid(3) gives: exact, while /proc counts in steps of 10 ms
    clock = (~pid << 3) | CPUCLOCK_SCHED
    try:
        return 1000 * time.clock_gettime(clock)
    except OSError:
        return 0  # it has ended


def _stat(pid: int) -> list[str] | None:
    """Return the fields behind the name: state, parent, …; None where it has ended."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the name stands in parentheses and may hold anything
    return line.rpartition(")")[2].split()


def _pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0  # it has ended
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return sum(map(int, sizes)) * 1024 / MIB
