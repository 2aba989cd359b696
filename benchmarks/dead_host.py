"""Throughput of nine healthy hosts, alone and beside a tenth that is dead.

    python -m benchmarks.dead_host [--images 60] [--rounds 5] [--latency 0.1]

A catalogue names the hosts in turn, and each healthy image takes `latency` seconds to arrive. Measured is the
time from the upload until the last image of the nine is compressed, in rounds of one run of each kind, so
that the machine's drift hits all alike. Settings are as shipped, but for leave to fetch from this machine.
"""

import argparse
import asyncio
import csv
import io
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

HEALTHY = [f"127.0.1.{number}" for number in range(1, 10)]
#: what happens to who connects
DEAD = {
    "refuses": "127.0.2.1",
    "hangs": "127.0.2.2",  # takes the request and never answers
    "drops": "127.0.2.3",  # as behind a firewall: not even the connection is made
}
LISTENING = re.compile(r"listening on (http://\S+)")
LOOK = 0.02  # seconds between looks at the status


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def serve_hosts(ready: Connection, latency: float) -> None:
    """Run all hosts on one port, in a process of their own."""
    body = picture()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )

    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(latency)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        first = await asyncio.start_server(healthy, HEALTHY[0], 0)
        port = first.sockets[0].getsockname()[1]
        servers = [await asyncio.start_server(healthy, host, port) for host in HEALTHY[1:]]
        servers.append(await asyncio.start_server(hang, DEAD["hangs"], port))
        full = full_backlog(DEAD["drops"], port)
        ready.send(port)
        await asyncio.gather(first.serve_forever(), *(server.serve_forever() for server in servers))
        for each in full:
            each.close()

    asyncio.run(run())


def full_backlog(host: str, port: int) -> list[socket.socket]:
    """Listen where nobody accepts, until the system drops further attempts to connect."""
    listening = socket.create_server((host, port), backlog=0)
    waiting = [listening]
    while True:
        client = socket.socket()
        client.settimeout(0.3)
        waiting.append(client)
        try:
            client.connect((host, port))
        except TimeoutError:
            return waiting


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Run the service on a fresh folder; gives its URL."""
    command = [sys.executable, "-m", "resizer", "serve", "--port", "0", "--data-dir", str(folder)]
    variables = os.environ | {
        "RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_QUEUE__SHUTDOWN_GRACE": "0",
    }
    process = subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := LISTENING.search(line):
                yield found[1]
                break
        else:
            raise SystemExit("the service did not start")
    finally:
        process.kill()
        process.communicate()


def catalogue(hosts: list[str], port: int, images: int, run: str) -> bytes:
    """Name as many images of each host, the hosts in turn."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    for number in range(images):
        for host in hosts:
            writer.writerow([number, host, f"http://{host}:{port}/{run}/{number}.jpg"])
    return buffer.getvalue().encode()


def seconds_for(hosts: list[str], port: int, images: int) -> float:
    """Return how long the service takes for the healthy hosts' images among those of all these hosts."""
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as url:
        # hosts are known to be healthy, and the pool has started
        compressed(url, catalogue(HEALTHY, port, 2, "first"), 2 * len(HEALTHY))
        return compressed(url, catalogue(hosts, port, images, "all"), images * len(HEALTHY))


def compressed(url: str, data: bytes, wanted: int) -> float:
    began = time.perf_counter()
    upload = urllib.request.Request(f"{url}/upload", data, {"Content-Type": "text/csv"})
    with urllib.request.urlopen(upload) as response:
        status_url = json.load(response)["status_url"]
    while True:
        with urllib.request.urlopen(status_url) as response:
            counts = json.load(response)["images"]
        if counts["completed"] >= wanted:
            return time.perf_counter() - began
        time.sleep(LOOK)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=60, help="of each host")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds in which a healthy host answers")
    options = parser.parse_args()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    origin = multiprocessing.Process(target=serve_hosts, args=(sending, options.latency), daemon=True)
    origin.start()
    port = receiving.recv()
    # the same once more tells how much is noise
    runs = {"alone": HEALTHY, "alone again": HEALTHY} | {
        # the dead host stands first, where it does most harm
        f"beside one that {kind}": [host, *HEALTHY]
        for kind, host in DEAD.items()
    }
    count = options.images * len(HEALTHY)
    print(
        f"{count} images of {len(HEALTHY)} healthy hosts, {options.latency:g} s each, {os.cpu_count()} cores"
    )
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds):
        for name, hosts in runs.items():
            rates[name].append(count / seconds_for(hosts, port, options.images))
        figures = ", ".join(f"{name} {rate[-1]:.1f}" for name, rate in rates.items())
        print(f"round {number + 1}, images/s: {figures}")
    origin.terminate()
    for name, mine in rates.items():
        ratio = statistics.median(one / other for one, other in zip(mine, rates["alone"], strict=True))
        print(f"median {name}: {statistics.median(mine):.1f} images/s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
