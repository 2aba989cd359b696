"""Images from a real server through real processes into a real folder."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import child_functions as child
import photos
from origin import Answer, Origin
from resizer.compress.memory import memory_limit
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings, FetchSettings, QueueSettings
from resizer.engine.base import Engine, NoProgress
from resizer.errors import ErrorCode, StorageFailure
from resizer.fetch.fetcher import Fetcher
from resizer.fetch.hosts import HostLimits
from resizer.metrics import Metrics
from resizer.models import Outcome, OutputFormat, Recipe, Task
from resizer.pipeline import image as local
from resizer.pipeline.image import LocalEngine
from resizer.storage.local import LocalStorage
from resizer.support.in_flight import InFlight

SETTINGS = CompressSettings(processes=2, timeout=20, max_pixels=1_000_000)
LOOPBACK = FetchSettings(allow_networks=(ip_network("127.0.0.0/8"),), retries=1)
HOSTS = HostLimits(per_host=8, most_in_doubt=32)
RECIPE = Recipe(quality=50, format=OutputFormat.KEEP)


PICTURE = photos.jpeg()
PHOTO = Answer(body=PICTURE)


@dataclass
class House:
    """An engine and where it works."""

    engine: Engine
    pool: CompressPool
    origin: Origin
    folder: Path
    spool: Path

    def task(self, answer: Answer = PHOTO, *, seq: int = 0) -> Task:
        url = self.origin.add("/photo.jpg", answer)
        return Task(batch_id=7, seq=seq, url=url, recipe=RECIPE)

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def is_tidy(self) -> bool:
        """Say whether there is neither a draft nor a download left."""
        return not any(path.suffix == ".draft" for path in self.folder.iterdir()) and not any(
            self.spool.iterdir()
        )


@pytest.fixture
async def house(tmp_path: Path, origin: Origin) -> AsyncIterator[House]:
    folder, spool = tmp_path / "compressed", tmp_path / "spool"
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(LocalStorage(folder, InFlight()))
        fetcher = await stack.enter_async_context(Fetcher(LOOPBACK, HOSTS, spool=spool, backoff=0.01))
        pool = await stack.enter_async_context(CompressPool(SETTINGS, memory_limit=memory_limit(SETTINGS)))
        engine = LocalEngine(fetcher, pool, storage, SETTINGS, QueueSettings(workers=4), metrics=Metrics())
        yield House(engine=engine, pool=pool, origin=origin, folder=folder, spool=spool)


async def test_an_image_is_fetched_compressed_and_stored(house: House) -> None:
    outcome = await house.engine.run(house.task(seq=3), NoProgress())
    assert (outcome.batch_id, outcome.seq, outcome.attempts, outcome.fault) == (7, 3, 1, None)
    compressed = outcome.compressed
    assert compressed is not None
    assert (compressed.format, compressed.width, compressed.height) == ("jpeg", 320, 240)
    assert compressed.input_bytes == len(PICTURE)
    assert compressed.output_bytes < len(PICTURE)
    assert house.files() == {compressed.filename}
    assert (house.folder / compressed.filename).stat().st_size == compressed.output_bytes
    assert house.is_tidy()


async def test_one_image_many_times_is_one_file(house: House) -> None:
    outcomes = await asyncio.gather(*(house.engine.run(house.task(seq=n), NoProgress()) for n in range(12)))
    assert [outcome.seq for outcome in outcomes] == list(range(12))
    assert len({outcome.compressed for outcome in outcomes}) == 1
    assert len(house.files()) == 1
    assert house.is_tidy()


@pytest.mark.parametrize(
    "answer, code, attempts",
    [
        (Answer(status=404), ErrorCode.HTTP_STATUS, 1),
        (Answer(status=503), ErrorCode.HTTP_STATUS, 2),
        (Answer.html(), ErrorCode.NOT_AN_IMAGE, 1),
        (Answer(body=PICTURE[: len(PICTURE) // 3]), ErrorCode.CORRUPT_IMAGE, 1),
        (Answer(body=photos.jpeg(width=1200, height=1000)), ErrorCode.TOO_MANY_PIXELS, 1),
    ],
)
async def test_a_fault_of_the_image_is_an_outcome(
    house: House, answer: Answer, code: ErrorCode, attempts: int
) -> None:
    outcome = await house.engine.run(house.task(answer), NoProgress())
    assert outcome.compressed is None
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.attempts) == (code, attempts)
    assert house.files() == set()
    assert house.is_tidy()
    assert house.pool.restarts == 0


async def test_what_is_no_url_is_an_outcome(house: House) -> None:
    outcome = await house.engine.run(
        Task(batch_id=1, seq=0, url="ftp://host/a.jpg", recipe=RECIPE), NoProgress()
    )
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.attempts) == (ErrorCode.INVALID_URL, 0)


async def test_the_largest_image_allowed_fits_into_the_memory_limit(house: House) -> None:
    outcome = await house.engine.run(
        house.task(Answer(body=photos.jpeg(width=1000, height=1000))), NoProgress()
    )
    assert outcome.compressed is not None
    assert house.pool.restarts == 0


async def test_a_full_disk_fails_the_image(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    outcome = await house.engine.run(house.task(), NoProgress())
    assert outcome.fault is not None
    assert outcome.fault.code == ErrorCode.STORAGE
    assert "no space left" in outcome.fault.message
    assert house.files() == set()
    monkeypatch.undo()
    assert (await house.engine.run(house.task(), NoProgress())).fault is None


@pytest.mark.parametrize(
    "codec, code",
    [
        (child.write_half_and_die, ErrorCode.COMPRESS_CRASH),
        (child.write_half_and_find_no_space, ErrorCode.STORAGE),
    ],
)
async def test_no_failure_leaves_a_draft(
    house: House, monkeypatch: pytest.MonkeyPatch, codec: object, code: ErrorCode
) -> None:
    monkeypatch.setattr(local, "make_file", codec)
    outcome = await house.engine.run(house.task(), NoProgress())
    assert outcome.fault is not None
    assert (outcome.fault.code, outcome.attempts) == (code, 1)
    assert house.files() == set()
    assert house.is_tidy()


async def in_its_child(house: House, gate: Path, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[Outcome]:
    """Begin an image; its child is at it, and goes on once there is a file at `gate`."""
    started = gate.with_name("started")
    monkeypatch.setattr(local, "make_file", partial(child.write_when_let, started, gate))
    image = asyncio.create_task(house.engine.run(house.task(), NoProgress()))
    while not started.exists():  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(0.005)
    return image


async def test_a_cancelled_image_leaves_no_draft_though_its_child_goes_on(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    calls: list[asyncio.Future[Any]] = []
    submit = house.pool.submit

    def seen(*args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        calls.append(submit(*args, **kwargs))
        return calls[-1]

    monkeypatch.setattr(house.pool, "submit", seen)
    image = await in_its_child(house, gate, monkeypatch)
    image.cancel()
    with pytest.raises(asyncio.CancelledError):
        await image
    (call,) = calls
    gate.touch()
    await asyncio.wait({call})
    await asyncio.sleep(0)
    assert house.files() == set()
    assert house.is_tidy()


async def test_closing_the_pool_cancels_an_image_and_leaves_no_draft(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await in_its_child(house, tmp_path / "gate", monkeypatch)
    await house.pool.aclose()
    with pytest.raises(asyncio.CancelledError):
        await image
    assert house.is_tidy()


async def test_a_damaged_file_that_cannot_be_deleted_leaves_no_draft(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await house.engine.run(house.task(), NoProgress())
    assert done.compressed is not None
    (house.folder / done.compressed.filename).write_bytes(b"\xff\xd8\xff damaged")

    async def refused(_: LocalStorage, name: str) -> None:
        raise StorageFailure(f"{name} may not be deleted")

    monkeypatch.setattr(LocalStorage, "delete", refused)
    outcome = await house.engine.run(house.task(), NoProgress())
    assert outcome.fault is not None
    assert outcome.fault.code is ErrorCode.STORAGE
    assert house.is_tidy()
