"""Where downloads are kept: within a bound, and in files that are written over."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from limits import limits
from origin import Answer, Origin
from resizer.config import FetchSettings
from resizer.fetch.fetcher import Fetcher
from resizer.fetch.originals import Originals
from resizer.fetch.spool import KEPT_SIZE, SLOW_WRITE, SpoolBudget, SpoolFile, write_spool
from service import LOOPBACK


@pytest.fixture(autouse=True)
def _folder_is_empty_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [*tmp_path.rglob("*.image")]


async def write(place: SpoolFile, data: bytes) -> None:
    async with write_spool(place) as spool:
        await spool.add(data)


async def test_file_is_written_over_while_others_are_in_use(tmp_path: Path) -> None:
    room = SpoolBudget(tmp_path)
    async with room.place() as other:
        await write(other, b"other")
        async with room.place() as first:
            await write(first, b"a longer one")
        async with room.place() as second:
            await write(second, b"short")
            assert second.path == first.path
            assert second.path.read_bytes() == b"short"
        async with room.place() as third:
            await write(third, b"longer than both")
            assert third.path.read_bytes() == b"longer than both"
        assert other.path.read_bytes() == b"other"


async def test_large_file_is_not_kept(tmp_path: Path) -> None:
    room = SpoolBudget(tmp_path)
    async with room.place():
        async with room.place() as large:
            await write(large, bytes(KEPT_SIZE + 1))
        assert not large.path.exists()


async def test_file_of_a_download_that_was_given_up_is_not_written_over(tmp_path: Path) -> None:
    """A child may read it still."""
    room = SpoolBudget(tmp_path)

    async def given_up() -> None:
        async with room.place() as place:
            await write(place, b"read by a child")
            paths.append(place.path)
            raise asyncio.CancelledError

    paths: list[Path] = []
    async with room.place():
        with pytest.raises(asyncio.CancelledError):
            await given_up()
        assert not paths[0].exists()
        async with room.place() as next_one:
            await write(next_one, b"another")
            assert next_one.path != paths[0]


async def test_original_that_is_sent_is_not_written_over(origin: Origin, tmp_path: Path) -> None:
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
async def test_threads_write_where_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """What waits for the disk must not hold up the loop."""
    room = SpoolBudget(tmp_path)
    writers: list[threading.Thread] = []
    system = os.write

    def seen(file: int, data: memoryview) -> int:
        writers.append(threading.current_thread())
        return system(file, data)

    async with room.place() as place, write_spool(place) as spool:
        room.took(2 * SLOW_WRITE if slow else SLOW_WRITE / 2)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", seen)
            # a stall of the machine is no slow disk
            patched.setattr(room, "took", lambda _: None)
            await spool.add(b"a piece")
            await spool.add(b" and another")
    assert [writer is threading.main_thread() for writer in writers] == [not slow] * 2


async def test_no_download_begins_while_enough_wait_in_the_spool(tmp_path: Path) -> None:
    """Each that leaves lets one in, whoever has given up waiting meanwhile."""
    room = SpoolBudget(tmp_path, enough=100)
    inside: list[str] = []
    kept = {name: asyncio.Event() for name in "abcd"}
    gates = {name: asyncio.Event() for name in "abcd"}

    async def download(name: str) -> None:
        async with room.place() as place:
            inside.append(name)
            async with write_spool(place) as spool:
                await spool.add(bytes(80))
            kept[name].set()
            await gates[name].wait()

    downloads = {name: asyncio.create_task(download(name)) for name in "ab"}
    await kept["a"].wait()
    await kept["b"].wait()
    downloads |= {name: asyncio.create_task(download(name)) for name in "cd"}
    await asyncio.sleep(0)
    assert inside == ["a", "b"]
    downloads["c"].cancel()
    await asyncio.wait({downloads["c"]})
    gates["a"].set()
    await downloads["a"]
    gates["d"].set()
    await downloads["d"]
    assert inside == ["a", "b", "d"]
    gates["b"].set()
    await downloads["b"]
    assert room.used == 0


async def test_second_try_counts_its_own_bytes_alone(tmp_path: Path) -> None:
    room = SpoolBudget(tmp_path)
    async with room.place() as place:
        for size in (500, 300):
            async with write_spool(place) as spool:
                await spool.add(bytes(size))
        assert room.used == place.size == place.path.stat().st_size == 300
    assert room.used == 0
