"""How fast a large CSV is taken in, from the upload to the 202 that says that it is on disk."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.processes import MIB, cpu_ms, high_water_mib
from benchmarks.serving import catalogue, service
from benchmarks.tables import Cell, show

SIZES = (10_000, 100_000, 1_000_000)
QUICK = (1_000,)
URL = "https://images.example.com/catalogue/2024/product-{:07d}-front.jpg"


def run(options: Options) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    rows: list[list[Cell]] = []
    for count in QUICK if options.quick else SIZES:
        data = catalogue(URL.format(number) for number in range(count))
        runs = [taken_in(data, count) for _ in range(1 if count == SIZES[-1] else options.rounds)]
        figures[str(count)] = {"bytes": len(data), "runs": runs}
        rows.append(
            [
                f"{count:,}",
                len(data) / MIB,
                *(statistics.median(each[name] for each in runs) for name in runs[0]),
            ]
        )
    show(
        "CSV intake, one image a row, each time into an empty database; memory of the server's process",
        ["rows", "MiB", "s", "rows/s", "CPU-s", "idle MiB", "peak MiB"],
        rows,
    )
    return figures


def taken_in(data: bytes, count: int) -> dict[str, float]:
    """Upload it to a service of its own, which is ended before it has fetched much."""
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as server:
        idle, before = high_water_mib(server.pid), cpu_ms([server.pid])
        began = time.perf_counter()
        server.upload(data)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "rows_per_second": count / seconds,
            "cpu_seconds": (cpu_ms([server.pid]) - before) / 1000,
            "idle_mib": idle,
            "peak_mib": high_water_mib(server.pid),
        }
