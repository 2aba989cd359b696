"""Describe the machine of a measurement."""

import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.loops import CORES

#: sleeps by which the machine is judged, and seconds of each
NAPS, NAP = 400, 0.005


def description() -> dict[str, str | int | float]:
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "cores": CORES,
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(Path(tempfile.gettempdir())),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "pillow": version("pillow"),
        "aiohttp": version("aiohttp"),
        "load": round(os.getloadavg()[0], 1),
        **_calmness(),
    }


def _calmness() -> dict[str, int]:
    """Sleep often, and tell what a wake costs: where that is much, CPU times of a server are not its own.

    A calm machine charges 20 to 60 microseconds for a wake and oversleeps by a millisecond.
    """
    longest = 0.0
    cpu = time.process_time()
    for _ in range(NAPS):
        began = time.perf_counter()
        time.sleep(NAP)
        longest = max(longest, time.perf_counter() - began - NAP)
    cpu = time.process_time() - cpu
    return {"us a wake": round(1e6 * cpu / NAPS), "longest stall ms": round(1e3 * longest)}


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1]
