"""Downloads are written to files within a budget, and never wait for a slow disk in the event loop."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from limits import limits
from origin import Answer, Origin
from resizer.config import FetchSettings
from resizer.fetch.fetcher import Fetcher
from resizer.fetch.originals import Originals
from resizer.fetch.spool import SLOW_WRITE, SpoolBudget
from service import LOOPBACK


@pytest.fixture(autouse=True)
def _folder_is_empty_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [*tmp_path.rglob("*.image")]


async def test_an_original_being_sent_is_not_overwritten(origin: Origin, tmp_path: Path) -> None:
    urls = [
        origin.add(name.decode(), Answer(body=b"\xff\xd8\xff" + name * 1000)) for name in (b"a", b"b", b"c")
    ]
    settings = FetchSettings(allow_networks=LOOPBACK)
    async with Fetcher(settings, limits(settings), spool=tmp_path) as fetching, AsyncExitStack() as stack:
        await stack.enter_async_context(fetching.fetch(urls[0]))
        original = await stack.enter_async_context(Originals(fetching).fetch(urls[1]))
        await stack.enter_async_context(fetching.fetch(urls[2]))
        assert original.file.read() == b"\xff\xd8\xff" + b"b" * 1000


@pytest.mark.parametrize("slow", [False, True])
async def test_threads_write_if_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Waiting for the disk must not block the event loop."""
    budget = SpoolBudget(tmp_path)
    writers: list[threading.Thread] = []
    system = os.write

    def seen(file: int, data: memoryview) -> int:
        writers.append(threading.current_thread())
        return system(file, data)

    async with budget.file() as file, file.open():
        budget.note_write(2 * SLOW_WRITE if slow else SLOW_WRITE / 2)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", seen)
            # a stall of the machine is not a slow disk
            patched.setattr(budget, "note_write", lambda _: None)
            await file.write(b"a piece")
            await file.write(b" and another")
    assert [writer is threading.main_thread() for writer in writers] == [not slow] * 2


async def test_no_download_starts_while_the_budget_is_exceeded(tmp_path: Path) -> None:
    """Each that leaves wakes one, even after one of those that waited was cancelled."""
    budget = SpoolBudget(tmp_path, limit=100)
    started: list[str] = []
    written = {name: asyncio.Event() for name in "abcd"}
    gates = {name: asyncio.Event() for name in "abcd"}

    async def download(name: str) -> None:
        async with budget.file() as file:
            started.append(name)
            async with file.open():
                await file.write(bytes(80))
            written[name].set()
            await gates[name].wait()

    downloads = {name: asyncio.create_task(download(name)) for name in "ab"}
    await written["a"].wait()
    await written["b"].wait()
    downloads |= {name: asyncio.create_task(download(name)) for name in "cd"}
    await asyncio.sleep(0)
    assert started == ["a", "b"]
    downloads["c"].cancel()
    await asyncio.wait({downloads["c"]})
    gates["a"].set()
    await downloads["a"]
    gates["d"].set()
    await downloads["d"]
    assert started == ["a", "b", "d"]
    gates["b"].set()
    await downloads["b"]
    assert budget.used == 0


async def test_a_second_attempt_replaces_the_file(tmp_path: Path) -> None:
    budget = SpoolBudget(tmp_path)
    async with budget.file() as file:
        for data in (bytes(500), b"a" * 300):
            async with file.open():
                await file.write(data)
        assert file.path.read_bytes() == b"a" * 300
        assert budget.used == file.size == 300
        assert file.digest == sha256(b"a" * 300).hexdigest()[:32]
    assert budget.used == 0
