"""Concurrent users of a URL share one download."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import pytest

from limits import limits
from origin import Answer, Origin
from resizer.config import FetchSettings
from resizer.errors import HttpStatusError
from resizer.fetch.downloads import Downloads
from resizer.fetch.fetcher import Fetcher

LOOPBACK = FetchSettings(allow_networks=["127.0.0.0/8"], retries=0)


@pytest.fixture
async def downloads(tmp_path: Path) -> AsyncIterator[Downloads]:
    async with Fetcher(LOOPBACK, limits(LOOPBACK), spool=tmp_path) as fetcher:
        yield Downloads(fetcher)
    assert not [*tmp_path.iterdir()]  # noqa: ASYNC240 - a temporary folder


async def test_the_file_remains_until_its_last_reader_leaves(origin: Origin, downloads: Downloads) -> None:
    """Also if the reader who began the download is cancelled."""
    url = origin.add("/a.jpg", Answer(body=b"image"))
    reading, may_end = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with downloads.fetch(url):
            await asyncio.Event().wait()

    async def second() -> bytes:
        async with downloads.fetch(url) as fetched:
            reading.set()
            await may_end.wait()
            return fetched.path.read_bytes()

    beginner = asyncio.create_task(first())
    reader = asyncio.create_task(second())
    await reading.wait()
    beginner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginner
    may_end.set()
    assert await reader == b"image"
    assert origin.hits["/a.jpg"] == 1


async def test_the_file_of_a_cancelled_reader_is_never_overwritten(
    origin: Origin, downloads: Downloads
) -> None:
    """A child process of that reader may still read it."""
    urls = [origin.add(path, Answer(body=path.encode())) for path in ("/other.jpg", "/a.jpg", "/next.jpg")]
    reading = asyncio.Event()

    async def read() -> None:
        async with downloads.fetch(urls[1]) as fetched:
            files.append(fetched.path.open("rb"))
            reading.set()
            await asyncio.Event().wait()

    files: list[BinaryIO] = []
    async with downloads.fetch(urls[0]):
        reader = asyncio.create_task(read())
        await reading.wait()
        reader.cancel()
        await asyncio.wait({reader})
        async with downloads.fetch(urls[2]):
            with files[0] as file:
                assert file.read() == b"/a.jpg"


async def test_a_download_outlives_the_cancelled_caller_who_began_it(
    origin: Origin, downloads: Downloads
) -> None:
    gate = asyncio.Event()
    url = origin.add("/a.jpg", Answer(body=b"image", gate=gate))

    async def fetch() -> bytes:
        async with downloads.fetch(url) as fetched:
            return fetched.path.read_bytes()

    beginner, waiting = (asyncio.create_task(fetch()) for _ in range(2))
    await origin.arrived("/a.jpg")
    beginner.cancel()
    await asyncio.wait({beginner})
    assert beginner.cancelled()
    gate.set()
    assert await waiting == b"image"
    assert origin.hits["/a.jpg"] == 1


async def test_a_download_ends_with_its_last_cancelled_caller(origin: Origin, downloads: Downloads) -> None:
    url = origin.add("/a.jpg", Answer.hang())

    async def fetch() -> bytes:
        async with downloads.fetch(url) as fetched:
            return fetched.path.read_bytes()

    callers = [asyncio.create_task(fetch()) for _ in range(2)]
    await origin.arrived("/a.jpg")
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    origin.add("/a.jpg", Answer(body=b"image"))
    assert await fetch() == b"image"
    assert origin.hits["/a.jpg"] == 2


async def test_a_failure_is_reported_to_all(origin: Origin, downloads: Downloads) -> None:
    gate = asyncio.Event()
    url = origin.add("/a.jpg", Answer(status=404, gate=gate))

    async def fetch() -> None:
        async with downloads.fetch(url):
            pass

    both = [asyncio.create_task(fetch()) for _ in range(2)]
    await origin.arrived("/a.jpg")
    gate.set()
    errors = await asyncio.gather(*both, return_exceptions=True)
    assert [type(error) for error in errors] == [HttpStatusError, HttpStatusError]
    assert origin.hits["/a.jpg"] == 1
