"""The database without the rest of the service, and batches in it."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from resizer.database import Database, NewBatch, NewDelivery, WebhookEvents, open_database
from resizer.events import Events
from resizer.metrics import Metrics
from resizer.models import Batch, OutputFormat, Product, Recipe
from resizer.support.in_flight import InFlight


@asynccontextmanager
async def opened_database(
    path: Path,
    *,
    webhook_events: WebhookEvents = lambda _: (),
    events: Events | None = None,
    in_flight: InFlight | None = None,
) -> AsyncIterator[Database]:
    """Open a database that reports to nobody, where the test names no one."""
    async with open_database(
        path,
        webhook_events=webhook_events,
        events=events or Events(),
        in_flight=in_flight or InFlight(),
        metrics=Metrics(),
    ) as database:
        yield database


def final_event(batch: Batch) -> Iterator[NewDelivery]:
    """One webhook event for each final status."""
    yield NewDelivery(
        webhook_id=f"evt_{batch.request_id}_{batch.finished_at}",
        url="http://receiver/",
        host="receiver:80",
        body=json.dumps({"status": batch.status}),
        first_attempt_at=10.0,
    )


def new_batch(digest: str = "d") -> NewBatch:
    return NewBatch(
        filename="a.csv",
        columns=("S. No.", "Product Name", "Input Image Urls"),
        digest=digest,
        recipe=Recipe(quality=50, format=OutputFormat.KEEP),
        webhook_url=None,
        origin="http://service",
        files_url="http://service/compressed",
    )


def product(number: int, *urls: str) -> Product:
    cells = (str(number), f"P{number}", "…")
    return Product(line=number + 2, serial=cells[0], name=cells[1], cells=cells, urls=urls)


def products(*counts: int) -> list[Product]:
    """Products with so many images each."""
    return [
        product(number, *(f"http://h/{number}-{image}.jpg" for image in range(count)))
        for number, count in enumerate(counts)
    ]


async def published(database: Database, *counts: int, key: str | None = None, digest: str = "d") -> Batch:
    """A batch of products with so many images each."""
    async with database.intake(new_batch(digest), max_pending=2000) as intake:
        await intake.add(products(*counts))
        batch, _ = await intake.publish(key=key)
    return batch


async def state(database: Database, batch: Batch) -> Batch:
    """The batch as it is now."""
    found = await database.batch_by_id(batch.id)
    assert found is not None
    return found


def rows(folder: Path, table: str) -> int:
    """The number of rows in a table of the database in this folder."""
    with closing(sqlite3.connect(folder / "resizer.db")) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def garbage(file: Path, *, start: int = 0) -> None:
    size = file.stat().st_size - start
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(b"garbage!" * (size // 8))


def garbage_in_the_middle(file: Path) -> None:
    garbage(file, start=file.stat().st_size // 2 // 4096 * 4096)
