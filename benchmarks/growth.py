"""Measure the cost of one more image, among a hundred or a hundred thousand, in one request or in many.

The images are one tiny JPEG in which the image host puts another comment each time, so nearly all of it is
what the service does around compressing: the CSV, the queue, the fetch, the files, the database.
"""

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.corpus import ladder
from benchmarks.options import Options
from benchmarks.origin import origin
from benchmarks.processes import pss_mib
from benchmarks.serving import Service, catalogue, final, service
from benchmarks.tables import Cell, show
from benchmarks.ways import Run, Way, timed

SIZES = (100, 1_000, 10_000, 100_000)
#: images measured of each size in all rounds together; a size above it has one round
ENOUGH = 2_000
WARM = 200
#: requests at once, and images of each
CROWDS = ((1_000, 1), (1_000, 10))
#: uploads at the same time
CLIENTS = 8


def run(options: Options) -> dict[str, Any]:
    tiny = ladder(options.corpus, "tiny", 1).paths[0]
    sizes = [(1, count) for count in SIZES if count <= options.most]
    crowds = [(min(requests, options.most), count) for requests, count in CROWDS]
    figures = {}
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        origin([tiny]) as host,
        service(Path(folder) / "service") as server,
    ):
        image = f"{host.url}/{tiny.name}"
        roles = {"server": lambda: [server.pid], "pool": lambda: server.pool, "origin": lambda: [host.pid]}
        at_once(server, image, 1, min(WARM, options.most), "warm")
        for requests, count in sizes + crowds:
            way = Way(run=partial(at_once, server, image, requests, count), roles=roles)
            total = requests * count
            rounds = min(options.rounds, max(1, ENOUGH // total))
            runs = [timed(way, f"{requests}x{count}x{number}", total) for number in range(rounds)]
            figures[f"{requests} of {count}"] = [asdict(each) for each in runs]
            rows.append(row(f"{requests:,} of {count:,}", runs, server))
    show(
        "Tiny images (64×64), from the first upload to the last final status",
        ["requests", "images/s", "ms an image", "server CPU-ms", "pool CPU-ms", "MiB afterwards"],
        rows,
    )
    return figures


def at_once(server: Service, image: str, requests: int, count: int, word: str) -> int:
    """Upload so many requests of so many images, wait for the last to end; returns bytes written."""

    def upload(number: int) -> str:
        return server.upload(catalogue(f"{image}?{word}-{number}-{each}" for each in range(count)))

    with ThreadPoolExecutor(CLIENTS) as clients:
        ends = [final(status_url) for status_url in clients.map(upload, range(requests))]
    if any(end["status"] != "completed" for end in ends):
        raise SystemExit("the service did not compress all")
    return sum(end["bytes"]["output"] for end in ends)


def row(name: str, runs: list[Run], server: Service) -> list[Cell]:
    return [
        name,
        statistics.median(each.images_per_second for each in runs),
        statistics.median(1000 / each.images_per_second for each in runs),
        statistics.median(each.cpu_ms["server"] for each in runs),
        statistics.median(each.cpu_ms["pool"] for each in runs),
        pss_mib(server.everything()),
    ]
