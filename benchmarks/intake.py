"""Measure the import of a large CSV, from the upload to the 202 that confirms it, and of unusual ones."""

import asyncio
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.processes import MIB, cpu_ms, high_water_mib
from benchmarks.serving import catalogue, service
from benchmarks.shapes import PRODUCT_ROWS, SHAPES
from benchmarks.tables import Cell, show
from resizer.catalog.content import InMemory
from resizer.config import QueueSettings
from resizer.database import open_database
from resizer.errors import CatalogError
from resizer.events import Events
from resizer.metrics import Metrics
from resizer.models import OutputFormat, Recipe
from resizer.pipeline.importing import Importer, Submission
from resizer.support.in_flight import InFlight

SIZES = (10_000, 100_000, 1_000_000)
QUICK = (1_000,)
#: bytes of a file of an odd shape
ODD, QUICK_ODD = 1_000_000, 20_000
MEGABYTE = 1_000_000
URL = "https://images.example.com/catalogue/2024/product-{:07d}-front.jpg"


def run(options: Options) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    rows: list[list[Cell]] = []
    for count in QUICK if options.quick else SIZES:
        data = catalogue(URL.format(number) for number in range(count))
        runs = [taken_in(data, count) for _ in range(1 if count == SIZES[-1] else options.rounds)]
        figures[str(count)] = {"bytes": len(data), "runs": runs}
        rows.append(
            [
                f"{count:,}",
                len(data) / MIB,
                *(statistics.median(each[name] for each in runs) for name in runs[0]),
            ]
        )
    show(
        "CSV intake, one image a row, each time into an empty database; memory of the server's process",
        ["rows", "MiB", "s", "rows/s", "CPU-s", "idle MiB", "peak MiB"],
        rows,
    )
    figures["shapes"] = priced(QUICK_ODD if options.quick else ODD, options.rounds)
    return figures


def taken_in(data: bytes, count: int) -> dict[str, float]:
    """Upload it to a service of its own, which is ended before it has fetched much."""
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as server:
        idle, before = high_water_mib(server.pid), cpu_ms([server.pid])
        began = time.perf_counter()
        server.upload(data)
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "rows_per_second": count / seconds,
            "cpu_seconds": (cpu_ms([server.pid]) - before) / 1000,
            "idle_mib": idle,
            "peak_mib": high_water_mib(server.pid),
        }


def priced(size: int, rounds: int) -> dict[str, Any]:
    """Compare files of odd shapes with product rows, as many as fill their bytes or hold what they hold."""
    runs = [by_row(size) for _ in range(rounds)]
    for_byte, for_row = (statistics.median(column) for column in zip(*runs, strict=True))
    figures: dict[str, Any] = {
        "product rows": {"cpu_seconds_per_byte": for_byte, "cpu_seconds_per_row": for_row}
    }
    rows: list[list[Cell]] = []
    for name, shape in SHAPES.items():
        data, count = shape.file(size)
        taken = statistics.median(cpu_seconds(data) for _ in range(rounds))
        times = taken / max(len(data) * for_byte, count * for_row)
        figures[name] = {"bytes": len(data), "rows": count, "cpu_seconds": taken, "times": times}
        rows.append([name, count, taken / len(data) * MEGABYTE, times])
    each = f"{for_byte * MEGABYTE:.3f} CPU-s a MB, {for_row * MEGABYTE:.1f} µs each"
    show(
        f"Odd shapes beside product rows ({each}): as many of these as have the bytes of the shape or, "
        "where that is more, as many as it has products or images",
        ["shape", "rows", "CPU-s a MB", "times product rows"],
        rows,
    )
    return figures


def by_row(size: int) -> tuple[float, float]:
    data, count = PRODUCT_ROWS.file(size)
    taken = cpu_seconds(data)
    return taken / len(data), taken / count


def cpu_seconds(data: bytes) -> float:
    """Take a file in without the HTTP around it, and without an engine that would fetch its images."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_cpu_seconds(data, Path(folder)))


async def _cpu_seconds(data: bytes, folder: Path) -> float:
    submission = Submission(
        csv=InMemory(data),
        filename="odd.csv",
        recipe=Recipe(quality=50, format=OutputFormat.KEEP),
        origin="http://127.0.0.1",
        files_url="http://127.0.0.1/compressed",
    )
    async with open_database(
        folder / "resizer.db",
        webhook_events=lambda _: (),
        events=Events(),
        in_flight=InFlight(),
        metrics=Metrics(),
    ) as database:
        desk = Importer(database, QueueSettings(max_pending_images=len(data)))
        before = time.process_time()
        with suppress(CatalogError):  # to refuse one costs as well
            await desk.import_csv(submission)
        return time.process_time() - before
