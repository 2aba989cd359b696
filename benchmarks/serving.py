"""Run the service in its own process with default settings, and a client of it."""

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
LOOK = 0.005  # seconds between two checks of the log
START = 60  # seconds; longer than any start


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    url: str
    pid: int

    @property
    def pool(self) -> list[int]:
        """Pids of the compressing processes and of the helpers that Python starts for them."""
        return descendants(self.pid)

    def everything(self) -> list[int]:
        return [self.pid, *self.pool]

    def upload(self, data: bytes, query: str = "") -> str:
        """Upload a CSV; returns the URL of its status."""
        request = urllib.request.Request(f"{self.url}/upload{query}", data, {"Content-Type": "text/csv"})
        with urllib.request.urlopen(request) as response:
            return str(json.load(response)["status_url"])

    def compress(self, urls: Iterable[str], query: str = "") -> Any:
        """Compress these images; returns the final status. Exits if an image failed."""
        status = final(self.upload(catalogue(urls), query))
        if status["status"] != "completed":
            raise SystemExit(f"not all images were compressed: {status}")
        return status


@contextmanager
def service(
    folder: Path,
    *,
    module: str = "resizer",
    arguments: Iterable[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Run `resizer serve` with default settings, `variables`, and permission to fetch from this machine.

    `module` replaces `resizer` in `python -m resizer`; `arguments` precede the others.
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
    """Run Python with these arguments; yields its pid and the match when its log matches `says`."""
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / log
    with said.open("wb") as file:
        # the folder has no config.toml
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
    """Return an environment that imports this checkout, whatever else is installed."""
    kept = {
        name: value for name, value in os.environ.items() if name == EFFORT or not name.startswith("RESIZER_")
    }
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys((CODE, BENCHMARKS)))),
        "RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        "RESIZER_QUEUE__SHUTDOWN_GRACE": "0",
    }


def catalogue(urls: Iterable[str]) -> bytes:
    """Write a CSV with one image per product."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    writer.writerows([number, f"Product {number}", url] for number, url in enumerate(urls, 1))
    return buffer.getvalue().encode()


def get_json(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return json.load(response)


def final(status_url: str) -> Any:
    """Wait until the request ends; returns its status."""
    while not (status := get_json(status_url, Prefer="wait=60"))["done"]:
        pass
    return status


def completed(status_url: str) -> int:
    """Return the number of compressed images of a request."""
    return int(get_json(status_url)["images"]["completed"])
