"""Fixtures for the whole suite."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest

from databases import new_batch, opened_database, product
from origin import Origin
from outcomes import MakeBatch
from resizer.database import Database
from resizer.database.database import PRAGMAS
from resizer.events import Events
from resizer.models import Batch
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
def events() -> Events:
    """What `database` reports."""
    return Events()


@pytest.fixture
async def database(tmp_path: Path, events: Events) -> AsyncIterator[Database]:
    async with opened_database(tmp_path / "resizer.db", events=events) as opened:
        yield opened


@pytest.fixture
def batch_of(database: Database) -> MakeBatch:
    """Make a batch with one image at each of these hosts, in this order."""

    async def make(hosts: Sequence[str]) -> Batch:
        async with database.intake(new_batch(), max_pending=10**6) as intake:
            await intake.add(
                [product(number, f"http://{host}/{number}.jpg") for number, host in enumerate(hosts)]
            )
            batch, _ = await intake.publish()
        return batch

    return make


@pytest.fixture
async def used(tmp_path: Path, batch_of: MakeBatch) -> Path:
    """A database that holds a batch, as it lies there after an orderly end."""
    await batch_of(["host"] * 2000)
    with closing(sqlite3.connect(tmp_path / "resizer.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "data").mkdir()
    return Path(shutil.copy(tmp_path / "resizer.db", tmp_path / "data"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a locked database for a moment only, and try again soon."""
    pragmas = (*PRAGMAS, "PRAGMA busy_timeout = 20")
    monkeypatch.setattr("resizer.database.database.PRAGMAS", pragmas)
    monkeypatch.setattr("resizer.pipeline.image.RECORD_PAUSE", (0.05, 0.2))
