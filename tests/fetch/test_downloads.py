"""One download for all who want its URL at the same time."""

import asyncio
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


async def test_a_file_stays_for_who_reads_it_when_who_began_it_is_cancelled(
    origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a.jpg", Answer(body=b"image"))
    reading, may_end = asyncio.Event(), asyncio.Event()
    async with Fetcher(LOOPBACK, limits(LOOPBACK), spool=tmp_path) as fetcher:
        downloads = Downloads(fetcher)

        async def first() -> None:
            async with downloads.fetch(url):
                await reading.wait()

        async def second() -> bytes:
            async with downloads.fetch(url) as fetched:
                reading.set()
                await may_end.wait()
                return fetched.path.read_bytes()

        beginner = asyncio.create_task(first())
        reader = asyncio.create_task(second())
        await reading.wait()
        beginner.cancel()
        await asyncio.sleep(0)
        may_end.set()
        assert await reader == b"image"
        with pytest.raises(asyncio.CancelledError):
            await beginner
    assert origin.hits["/a.jpg"] == 1
    assert not [*tmp_path.iterdir()]  # noqa: ASYNC240  a temporary folder


async def test_file_of_which_a_reader_was_cancelled_is_not_written_over(
    origin: Origin, tmp_path: Path
) -> None:
    """A child of that reader may read on."""
    urls = [origin.add(path, Answer(body=path.encode())) for path in ("/other.jpg", "/a.jpg", "/next.jpg")]
    reading, may_end = asyncio.Event(), asyncio.Event()
    async with Fetcher(LOOPBACK, limits(LOOPBACK), spool=tmp_path) as fetcher, fetcher.fetch(urls[0]):
        downloads = Downloads(fetcher)

        async def first() -> None:
            async with downloads.fetch(urls[1]):
                await may_end.wait()

        async def second() -> None:
            async with downloads.fetch(urls[1]) as fetched:
                files.append(fetched.path.open("rb"))
                reading.set()
                await asyncio.Event().wait()

        files: list[BinaryIO] = []
        beginner = asyncio.create_task(first())
        reader = asyncio.create_task(second())
        await reading.wait()
        reader.cancel()
        await asyncio.wait({reader})
        may_end.set()
        await beginner
        async with downloads.fetch(urls[2]):
            with files[0] as file:
                assert file.read() == b"/a.jpg"


async def test_who_waits_for_a_download_that_is_given_up_makes_one(origin: Origin, tmp_path: Path) -> None:
    url = origin.add("/a.jpg", Answer.hang())
    async with Fetcher(LOOPBACK, limits(LOOPBACK), spool=tmp_path) as fetcher:
        downloads = Downloads(fetcher)

        async def fetch() -> bytes:
            async with downloads.fetch(url) as fetched:
                return fetched.path.read_bytes()

        beginner = asyncio.create_task(fetch())
        await origin.arrived("/a.jpg")
        waiting = asyncio.create_task(fetch())
        await asyncio.sleep(0)
        origin.add("/a.jpg", Answer(body=b"image"))
        beginner.cancel()
        assert await waiting == b"image"
    assert origin.hits["/a.jpg"] == 2


async def test_a_failure_is_told_to_all(origin: Origin, tmp_path: Path) -> None:
    gate = asyncio.Event()
    url = origin.add("/a.jpg", Answer(status=404, gate=gate))
    async with Fetcher(LOOPBACK, limits(LOOPBACK), spool=tmp_path) as fetcher:
        downloads = Downloads(fetcher)

        async def fetch() -> None:
            async with downloads.fetch(url):
                pass

        both = [asyncio.create_task(fetch()) for _ in range(2)]
        await origin.arrived("/a.jpg")
        gate.set()
        errors = await asyncio.gather(*both, return_exceptions=True)
    assert [type(error) for error in errors] == [HttpStatusError, HttpStatusError]
    assert origin.hits["/a.jpg"] == 1
