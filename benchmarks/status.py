"""Measure `GET /status/{request_id}`, at rest and while all cores compress: latency and rate.

Latency is measured on one connection, a request every 5 ms; the rate on several, each of which sends its next
request as soon as it has its answer.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.asking import PACE, Client, client
from benchmarks.corpus import jpeg_corpus
from benchmarks.options import Options
from benchmarks.origin import origin
from benchmarks.serving import catalogue, completed, final, get_json, service
from benchmarks.tables import Cell, show
from benchmarks.ways import urls_of

REQUESTS, QUICK_REQUESTS = 2000, 50  # of which latency is measured
SECONDS, QUICK_SECONDS = 4.0, 0.3  # for which a rate is measured
CONNECTIONS, QUICK_CONNECTIONS = (1, 4, 16, 64), (4,)
#: images that keep the cores busy while all is measured
LOAD, QUICK_LOAD = 10_000, 1500
PHOTOS = 20  # different ones among them


def run(options: Options) -> dict[str, Any]:
    photos = jpeg_corpus(options.corpus, PHOTOS, small=options.quick).paths
    load = QUICK_LOAD if options.quick else LOAD
    with (
        client() as asking,
        tempfile.TemporaryDirectory() as folder,
        origin(photos) as host,
        service(Path(folder)) as server,
    ):
        ended = server.upload(catalogue(urls_of(photos[:4], host, "few")))
        final(ended)
        figures = {"at rest": measured(asking, {"ended": ended}, options)}
        images = [photos[number % len(photos)] for number in range(load)]
        running = server.upload(catalogue(urls_of(images, host, "load")))
        before, began = completed(running), time.perf_counter()
        figures["under load"] = measured(asking, {"running": running, "ended": ended}, options)
        rate = (completed(running) - before) / (time.perf_counter() - began)
        if get_json(running)["done"]:
            raise SystemExit("the images ran out before all was measured")
    print_tables(figures, rate)
    return figures | {"images_per_second_meanwhile": rate}


def measured(asking: Client, asked: dict[str, str], options: Options) -> dict[str, Any]:
    """Return seconds of each request by what is asked for, and requests a second by connections."""
    requests, seconds, connections = (
        (QUICK_REQUESTS, QUICK_SECONDS, QUICK_CONNECTIONS)
        if options.quick
        else (REQUESTS, SECONDS, CONNECTIONS)
    )
    return {
        "latencies": {name: asking.latencies(url, requests) for name, url in asked.items()},
        "rates": {str(many): asking.rate(asked["ended"], many, seconds) for many in connections},
    }


def print_tables(figures: dict[str, Any], rate: float) -> None:
    rows: list[list[Cell]] = []
    for when, found in figures.items():
        for name, seconds in found["latencies"].items():
            cuts = statistics.quantiles(seconds, n=1000, method="inclusive")
            chosen = (statistics.median(seconds), cuts[949], cuts[989], max(seconds))
            rows.append([f"{when}, a request that is {name}", *(1000 * each for each in chosen)])
    show(
        f"`GET /status/…` in ms, every {1000 * PACE:g} ms; under load {rate:.1f} images/s are compressed",
        ["", "median", "95 %", "99 %", "most"],
        rows,
    )
    rates = {when: found["rates"] for when, found in figures.items()}
    show(
        "Requests a second",
        ["connections", *rates],
        [[many, *(each[many] for each in rates.values())] for many in rates["at rest"]],
    )
