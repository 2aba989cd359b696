"""Measure a request of a million images: import, rate and memory, and the restart after a kill."""

import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.corpus import ladder
from benchmarks.options import Options
from benchmarks.origin import origin
from benchmarks.processes import pss_mib
from benchmarks.serving import Service, catalogue, completed, get_json, service
from benchmarks.tables import show

COUNT, QUICK_COUNT = 1_000_000, 3_000
FEW, QUICK_FEW = 1_000, 100  # images of the request for comparison
LOOKS, QUICK_LOOKS = 12, 2
PAUSE, QUICK_PAUSE = 10.0, 1.0  # seconds between two samples
AGAIN = 0.01  # seconds between two status requests after the restart


def run(options: Options) -> dict[str, Any]:
    tiny = ladder(options.corpus, "tiny", 1).paths[0]
    with tempfile.TemporaryDirectory() as temporary, origin([tiny]) as host:
        folder = Path(temporary) / "service"
        image = f"{host.url}/{tiny.name}"
        with service(folder) as server:
            figures = under_way(server, image, options)
            os.kill(server.pid, signal.SIGKILL)
        began = time.perf_counter()
        with service(folder) as server:
            figures["listening_seconds"] = time.perf_counter() - began
            url = f"{server.url}/status/{figures['request_id']}"
            before = completed(url)
            while completed(url) == before:
                time.sleep(AGAIN)
            figures["going_on_seconds"] = time.perf_counter() - began
    rates, memory = figures["rates"], figures["mib"]
    show(
        f"{figures['images']:,} tiny images in one request, {len(rates)} samples",
        ["", "median", "min", "max"],
        [
            [f"images/s of a request of {figures['few']:,}", figures["few_rate"], None, None],
            ["images/s", statistics.median(rates), min(rates), max(rates)],
            ["MiB of all processes", statistics.median(memory), min(memory), max(memory)],
            ["s until the 202", figures["intake_seconds"], None, None],
            ["after kill -9: s until it listens", figures["listening_seconds"], None, None],
            ["after kill -9: s until the next image is done", figures["going_on_seconds"], None, None],
        ],
    )
    return figures


def under_way(server: Service, image: str, options: Options) -> dict[str, Any]:
    """Upload the images and take samples; returns the figures."""
    few = QUICK_FEW if options.quick else FEW
    server.compress(f"{image}?warm-{number}" for number in range(QUICK_FEW))
    began = time.perf_counter()
    server.compress(f"{image}?few-{number}" for number in range(few))
    few_rate = few / (time.perf_counter() - began)

    count = options.count(COUNT, QUICK_COUNT)
    data = catalogue(f"{image}?many-{number}" for number in range(count))
    began = time.perf_counter()
    url = server.upload(data)
    intake = time.perf_counter() - began

    rates, memory = [], []
    for _ in range(QUICK_LOOKS if options.quick else LOOKS):
        before, began = completed(url), time.perf_counter()
        time.sleep(QUICK_PAUSE if options.quick else PAUSE)
        rates.append((completed(url) - before) / (time.perf_counter() - began))
        memory.append(pss_mib(server.everything()))
    if get_json(url)["done"]:
        raise SystemExit("all images were finished before the measurement ended")
    return {
        "request_id": url.rpartition("/")[2],
        "images": count,
        "few": few,
        "few_rate": few_rate,
        "intake_seconds": intake,
        "rates": rates,
        "mib": memory,
    }
