"""Fixtures for the whole suite."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import hypothesis
import pytest

from origin import Origin
from outcomes import MakeBatch
from resizer.database import Database, NewBatch, open_database
from resizer.models import Batch, OutputFormat, Product, Recipe
from service import Serve, serving
from steady import SteadyLoop

pytest_plugins = ["budget", "chromium", "s3"]

LATE = 9


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"steady": SteadyLoop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run marked tests first, in their order: a long test started last delays the whole run."""

    def place(item: pytest.Item) -> int:
        mark = item.get_closest_marker("early")
        return LATE if mark is None else int(mark.args[0])

    items.sort(key=place)


# no deadline: no test asserts a time
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as server:
        yield server


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with serving(tmp_path / "data") as start:
        yield start


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "resizer.db", lambda _: ()) as opened:
        yield opened


@pytest.fixture
def batch_of(database: Database) -> MakeBatch:
    """Make a batch with one image at each of these hosts, in this order."""

    async def make(hosts: Sequence[str]) -> Batch:
        new = NewBatch(
            filename="a.csv",
            columns=("S. No.", "Product Name", "Input Image Urls"),
            digest="",
            recipe=Recipe(quality=50, format=OutputFormat.KEEP),
            webhook_url=None,
            origin="http://service",
            files_url="http://service/compressed",
        )
        products = [
            Product(
                line=number + 2,
                serial=str(number),
                name=f"P{number}",
                cells=(str(number), f"P{number}", ""),
                urls=(f"http://{host}/{number}.jpg",),
            )
            for number, host in enumerate(hosts)
        ]
        async with database.intake(new, max_pending=10**6) as intake:
            await intake.add(products)
            batch, _ = await intake.publish()
        return batch

    return make
