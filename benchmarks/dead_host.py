"""Throughput of nine healthy hosts, alone and beside a tenth that is dead.

A catalogue names the hosts in turn, and each healthy image takes 0.1 s to arrive. Measured is the time from
the upload until the last image of the nine is compressed, in rounds of one run of each kind, each by a
service that has just been started and knows the nine to be healthy. That they run alone twice tells how much
is noise.
"""

import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.corpus import ladder
from benchmarks.options import Options
from benchmarks.origin import origin
from benchmarks.serving import Service, catalogue, completed, service
from benchmarks.tables import show

HEALTHY = [f"127.0.1.{number}" for number in range(1, 10)]
#: what happens to who connects
DEAD = {
    "refuses": "127.0.2.1",
    "hangs": "127.0.2.2",  # the request is never answered
    "drops": "127.0.2.3",  # as behind a firewall: not even the connection is made
}
LATENCY = 0.1  # seconds in which a healthy host answers
WARM = 2  # images of each healthy host
LOOK = 0.02  # seconds between looks at the status
PROBE = 0.3  # seconds until a connection counts as dropped


def run(options: Options) -> dict[str, Any]:
    images = options.count(60, 4)
    picture = ladder(options.corpus, "small", 1).paths[0]
    # a dead host stands first, where it does most harm
    runs: dict[str, list[str]] = {"alone": [], "alone again": []}
    runs |= {f"beside one that {kind}": [kind] for kind in DEAD}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    with origin([picture], hosts=HEALTHY, latency=LATENCY) as host, ExitStack() as stack:
        port = urlsplit(host.url).port or 0
        stack.enter_context(silent_host(DEAD["hangs"], port))
        stack.enter_context(dropping_host(DEAD["drops"], port))
        for number in range(options.rounds):
            # in both directions, so that a machine that slows down affects every run alike
            order = [*runs.items()][:: -1 if number % 2 else 1]
            for name, kinds in order:
                urls = [f"http://{DEAD[kind]}:{port}" for kind in kinds] + host.urls
                rates[name].append(rate(urls, host.urls, picture.name, images))
            figures = ", ".join(f"{name} {rate[-1]:.1f}" for name, rate in rates.items())
            print(f"round {number + 1}, images/s: {figures}", flush=True)
    show(
        f"{images} images of each of {len(HEALTHY)} hosts, {LATENCY:g} s each, {options.rounds} rounds",
        ["the nine", "images/s", "of the rate alone"],
        [
            [
                name,
                statistics.median(mine),
                statistics.median(one / other for one, other in zip(mine, rates["alone"], strict=True)),
            ]
            for name, mine in rates.items()
        ],
    )
    return {"images": images * len(HEALTHY), "rates": rates}


def rate(hosts: list[str], healthy: list[str], name: str, images: int) -> float:
    """Return how many of the healthy hosts' images the service does in a second, among those of all these."""
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as server:
        server.compress(
            f"{host}/{name}?warm-{number}-{host[-7:]}" for number in range(WARM) for host in healthy
        )
        # no two are the same image
        urls = [f"{host}/{name}?{number}-{host}" for number in range(images) for host in hosts]
        wanted = images * len(healthy)
        return wanted / seconds_until(server, urls, wanted)


def seconds_until(server: Service, urls: list[str], wanted: int) -> float:
    began = time.perf_counter()
    status_url = server.upload(catalogue(urls))
    while completed(status_url) < wanted:
        time.sleep(LOOK)
    return time.perf_counter() - began


@contextmanager
def silent_host(host: str, port: int) -> Iterator[None]:
    """Listen where nobody accepts: the system makes the connections, and no request is ever answered."""
    with socket.create_server((host, port), backlog=1024):
        yield


@contextmanager
def dropping_host(host: str, port: int) -> Iterator[None]:
    """Listen where nobody accepts, and connect until the system drops further attempts."""
    with ExitStack() as stack:
        stack.enter_context(socket.create_server((host, port), backlog=0))
        while True:
            client = stack.enter_context(socket.socket())
            client.settimeout(PROBE)
            try:
                client.connect((host, port))
            except TimeoutError:
                break
        yield
