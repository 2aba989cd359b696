"""What benchmarks over HTTP share: an image host and the service, each a process of its own, and a client."""

import csv
import io
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

LISTENING = re.compile(r"listening on (http://\S+)")
LOOK = 0.05  # seconds between looks at the log
START = 60  # seconds; no start takes as long


@contextmanager
def image_host(folder: Path) -> Iterator[str]:
    """Serve a folder's files with ETag, Last-Modified and 304; gives its address.

    What it has answered since it was last asked stands at /counts, by status.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    process = multiprocessing.Process(target=_serve_folder, args=(folder, listener), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        process.terminate()
        process.join()
        listener.close()


def _serve_folder(folder: Path, listener: socket.socket) -> None:
    counts: Counter[int] = Counter()

    async def count(request: web.Request, response: web.StreamResponse) -> None:
        counts[response.status] += request.path != "/counts"

    async def told(request: web.Request) -> web.Response:
        del request
        answer = web.json_response(counts)
        counts.clear()
        return answer

    app = web.Application()
    app.on_response_prepare.append(count)
    app.router.add_get("/counts", told)
    app.router.add_static("/", folder)
    web.run_app(app, sock=listener, print=None, access_log=None)


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Run `resizer serve` as shipped, but for leave to fetch from this machine; gives its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    command = [sys.executable, "-m", "resizer", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    variables = os.environ | {
        "RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_QUEUE__SHUTDOWN_GRACE": "0",
    }
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=variables, stdout=file, stderr=file)
    try:
        until = time.monotonic() + START
        while not (found := LISTENING.search(log.read_text())):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the service did not start:\n{log.read_text()}")
            time.sleep(LOOK)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def catalogue(urls: Sequence[str]) -> bytes:
    """Write a CSV with one image a product."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    writer.writerows([number, f"Product {number}", url] for number, url in enumerate(urls, 1))
    return buffer.getvalue().encode()


def upload(service_url: str, data: bytes, query: str = "") -> str:
    """Upload a CSV; returns the URL of its status."""
    request = urllib.request.Request(f"{service_url}/upload{query}", data, {"Content-Type": "text/csv"})
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["status_url"])


def get_json(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return json.load(response)


def final(status_url: str) -> Any:
    """Wait for the final status; returns it."""
    while not (status := get_json(status_url, Prefer="wait=60"))["done"]:
        pass
    return status
