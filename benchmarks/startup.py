"""Measure the start of the service, its use of resources at rest, and a job of one image."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.corpus import ladder
from benchmarks.options import Options
from benchmarks.origin import origin
from benchmarks.processes import cpu_ms, pss_mib
from benchmarks.serving import catalogue, environment, get_json, service
from benchmarks.tables import show

SETTLE = 1.0  # seconds until what the start has left behind is done
REST, QUICK_REST = 3.0, 0.3  # seconds of rest
TITLES = {
    "listening_seconds": "`resizer serve`: s until it listens",
    "ready_seconds": "s until `/readyz` is 200",
    "start_cpu_seconds": "CPU-s until then, all its processes",
    "server_mib": "at rest: the server's process, MiB",
    "pool_mib": "the compressing processes and what they need beside them, MiB",
    "rest_cpu_ms": "CPU-ms a second, all its processes",
    "run_seconds": "`resizer run` of one small image: s from start to end",
}


def run(options: Options) -> dict[str, Any]:
    rounds = [measured(options) for _ in range(options.rounds)]
    show(
        f"Start and rest; medians of {options.rounds} rounds",
        ["", "median", "least", "most"],
        [
            [title, statistics.median(values), min(values), max(values)]
            for name, title in TITLES.items()
            for values in [[each[name] for each in rounds]]
        ],
    )
    return {"rounds": rounds}


def measured(options: Options) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with service(Path(folder) / "service") as server:
            listening = time.perf_counter() - began
            get_json(f"{server.url}/readyz")
            ready = time.perf_counter() - began
            everything = server.everything()
            start_cpu = cpu_ms(everything)
            time.sleep(SETTLE)
            settled_cpu = cpu_ms(everything)
            rest = QUICK_REST if options.quick else REST
            time.sleep(rest)
            found = {
                "listening_seconds": listening,
                "ready_seconds": ready,
                "start_cpu_seconds": start_cpu / 1000,
                "rest_cpu_ms": (cpu_ms(everything) - settled_cpu) / rest,
                "server_mib": pss_mib([server.pid]),
                "pool_mib": pss_mib(server.pool),
            }
        return found | {"run_seconds": job_seconds(Path(folder), options.corpus)}


def job_seconds(folder: Path, images: Path) -> float:
    """Return how long `resizer run` takes for one image."""
    small = ladder(images, "small", 1).paths
    with origin(small) as host:
        csv = folder / "one.csv"
        csv.write_bytes(catalogue([f"{host.url}/{small[0].name}"]))
        command = [sys.executable, "-m", "resizer", "run", str(csv), "--output", str(folder / "out")]
        began = time.perf_counter()
        subprocess.run(command, env=environment(), cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - began
