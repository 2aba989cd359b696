"""How quickly `GET /status/{request_id}` is answered, at rest and while all cores compress, and how often.

    python -m benchmarks.status_latency [--images 60] [--requests 2000] [--seconds 4] [--corpus FOLDER]

The client is a process of its own with raw sockets and kept connections (an asyncio protocol that looks for
the length of the answer and nothing else), on the same machine as the service: what it takes of the processor
is missing there. Latency is measured on one connection, a request every 5 ms; the rate on several, each of
which sends its next request as soon as it has its answer.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.corpus import make_corpus
from benchmarks.serving import catalogue, final, get_json, image_host, service, upload

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PACE = 0.005  # seconds from one request to the next where latency is measured
CONNECTIONS = (1, 4, 16, 64)
#: each is a request of its own for the same images, which makes work for as long as is measured
QUALITIES = range(30, 90, 4)


class Asking(asyncio.Protocol):
    """One connection that asks for one URL."""

    def __init__(self, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._got = b""
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        found = LENGTH.search(self._got, 0, end + 2) if end >= 0 else None
        if found and len(self._got) >= end + 4 + int(found[1]):
            assert self._got.startswith(b"HTTP/1.1 200 "), self._got
            self._got = b""
            assert self._answered is not None
            self._answered.set_result(None)

    async def ask(self) -> None:
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(self._request)
        await self._answered


async def latencies(url: str, count: int) -> list[float]:
    """Return the seconds of so many requests."""
    asking = await connect(url)
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await asking.ask()
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PACE)
    asking.transport.close()
    return seconds


async def answered(url: str, connections: int, seconds: float) -> int:
    """Return how many requests are answered in these seconds."""
    until = time.perf_counter() + seconds

    async def ask(asking: Asking) -> int:
        count = 0
        while time.perf_counter() < until:
            await asking.ask()
            count += 1
        return count

    opened = [await connect(url) for _ in range(connections)]
    count = sum(await asyncio.gather(*map(ask, opened)))
    for asking in opened:
        asking.transport.close()
    return count


async def connect(url: str) -> Asking:
    parts = urlsplit(url)
    _, asking = await asyncio.get_running_loop().create_connection(
        lambda: Asking(parts.path), parts.hostname or "", parts.port or 80
    )
    return asking


def client(talk: Connection) -> None:
    """Do in a process of its own what is asked through the pipe, until None comes."""
    while (order := talk.recv()) is not None:
        what, *arguments = order
        talk.send(asyncio.run(latencies(*arguments) if what == "latencies" else answered(*arguments)))


def print_latency(name: str, seconds: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=1000, method="inclusive")
    figures = (statistics.median(seconds), cuts[949], cuts[989], max(seconds))
    print(name.ljust(34) + "".join(f"{1000 * each:10.2f}" for each in figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--images", type=int, default=60, help="of each of the requests that keep the cores busy"
    )
    parser.add_argument("--requests", type=int, default=2000, help="of which latency is measured")
    parser.add_argument("--seconds", type=float, default=4, help="for which the rate is measured")
    parser.add_argument("--corpus", type=Path, help="where the photos are kept for the next run")
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    asking = multiprocessing.Process(target=client, args=(there,), daemon=True)
    asking.start()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus = options.corpus or folder / "corpus"
        paths = make_corpus(corpus, options.images)
        with image_host(corpus) as host, service(folder / "service") as url:
            few = catalogue([f"{host}/{path.name}" for path in paths[:4]])
            at_rest = upload(url, few)
            final(at_rest)
            print(f"{os.cpu_count()} cores, {options.requests} requests, every {1000 * PACE:g} ms\n")
            print("ms".ljust(34) + "    median       p95       p99       max")
            here.send(("latencies", at_rest, options.requests))
            print_latency("at rest", here.recv())

            print(f"\n{options.seconds:g} s, at rest, {'connections':12} requests/s")
            for connections in CONNECTIONS:
                here.send(("answered", at_rest, connections, options.seconds))
                print(f"{connections:22} {here.recv() / options.seconds:17.0f}", flush=True)

            data = catalogue([f"{host}/{path.name}" for path in paths])
            running = [upload(url, data, f"?quality={quality}") for quality in QUALITIES]
            print(
                "\n" + "ms, while all cores compress".ljust(34) + "    median       p95       p99       max"
            )
            for name, asked in (
                ("a request that is worked on", running[-1]),
                ("one that has ended", at_rest),
            ):
                before, began = completed(running), time.perf_counter()
                here.send(("latencies", asked, options.requests))
                print_latency(name, here.recv())
                rate = (completed(running) - before) / (time.perf_counter() - began)
                print(f"  meanwhile {rate:.1f} images/s were compressed", flush=True)
            if all(get_json(each)["done"] for each in running):
                print("the images ran out before all was measured: give more with --images")
    here.send(None)
    asking.join()


def completed(status_urls: list[str]) -> int:
    return sum(get_json(each)["images"]["completed"] for each in status_urls)


if __name__ == "__main__":
    main()
