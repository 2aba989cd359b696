"""The service as a process of its own with what it ships as settings, and a client."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import resizer
from benchmarks.loops import EFFORT
from benchmarks.processes import descendants

CODE = Path(resizer.__file__).parent.parent
BENCHMARKS = Path(__file__).parent.parent
LISTENING = re.compile(r"listening on (http://\S+)")
LOOK = 0.005  # seconds between looks at the log
START = 60  # seconds; no start takes as long


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    url: str
    pid: int

    @property
    def pool(self) -> list[int]:
        """The compressing processes, and what Python needs beside them."""
        return descendants(self.pid)

    def everything(self) -> list[int]:
        return [self.pid, *self.pool]

    def upload(self, data: bytes, query: str = "") -> str:
        """Upload a CSV; returns the URL of its status."""
        request = urllib.request.Request(f"{self.url}/upload{query}", data, {"Content-Type": "text/csv"})
        with urllib.request.urlopen(request) as response:
            return str(json.load(response)["status_url"])

    def compress(self, urls: Iterable[str], query: str = "") -> Any:
        """Have these compressed; returns the final status, in which no image has failed."""
        status = final(self.upload(catalogue(urls), query))
        if status["status"] != "completed":
            raise SystemExit(f"the service did not compress all: {status}")
        return status


@contextmanager
def service(
    folder: Path,
    *,
    module: str = "resizer",
    arguments: Iterable[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Run `resizer serve` as shipped, but for leave to fetch from this machine and for `variables`.

    `module` is what runs it instead of `python -m resizer`, with these arguments before the others.
    """
    command = ["-m", module, *arguments, "serve", "--port", "0", "--data-dir", str(folder / "data")]
    with started(folder, command, says=LISTENING, variables=variables) as (pid, found):
        yield Service(url=found[1], pid=pid)


@contextmanager
def started(
    folder: Path,
    arguments: Iterable[str],
    *,
    says: re.Pattern[str],
    variables: Mapping[str, str] | None = None,
    log: str = "log.txt",
) -> Iterator[tuple[int, re.Match[str]]]:
    """Run Python with these arguments until the end; yields its pid when it has said that it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / log
    with said.open("wb") as file:
        # in a folder without a config.toml
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment() | dict(variables or {}),
            cwd=folder,
            stdout=file,
            stderr=file,
        )
    try:
        until = time.monotonic() + START
        while not (found := says.search(said.read_text())):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"a process did not start:\n{said.read_text()}")
            time.sleep(LOOK)
        yield process.pid, found
    finally:
        process.terminate()
        process.wait()


def environment() -> dict[str, str]:
    """Return the variables for a process of the code that is measured, whatever else is installed."""
    kept = {
        name: value for name, value in os.environ.items() if name == EFFORT or not name.startswith("RESIZER_")
    }
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys((CODE, BENCHMARKS)))),
        "RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_QUEUE__SHUTDOWN_GRACE": "0",
    }


def catalogue(urls: Iterable[str]) -> bytes:
    """Write a CSV with one image a product."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    writer.writerows([number, f"Product {number}", url] for number, url in enumerate(urls, 1))
    return buffer.getvalue().encode()


def get_json(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return json.load(response)


def final(status_url: str) -> Any:
    """Wait for the final status; returns it."""
    while not (status := get_json(status_url, Prefer="wait=60"))["done"]:
        pass
    return status


def completed(status_url: str) -> int:
    """Return how many images of a request are compressed by now."""
    return int(get_json(status_url)["images"]["completed"])
