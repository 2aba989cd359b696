"""Nothing more can be opened: the service waits until it can, and says so once."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import photos
from kin import descendants, parent_of
from origin import Answer, Origin
from process import PATIENCE, Process, get_json, server
from service import catalogue, form
from wire import Wire

only_linux = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="only Linux changes limits of another process"
)

PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: lines that a service which is well logs in such a test, and some
MOST_LINES = 20


async def answered(port: int) -> None:
    """Ask over connections of their own until one is served: the service learns late who has left."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with await Wire.to(port) as wire:
                await wire.send(PING)
                if (await wire.reply()).status == 200:
                    return


async def uploaded(session: aiohttp.ClientSession, url: str, rows: Sequence[Sequence[str]]) -> str:
    async with session.post(f"{url}/upload", data=form(catalogue(rows))) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["request_id"])


def lines(process: Process, text: str) -> int:
    return sum(text in line for line in process.log)


@asynccontextmanager
async def limited(process: Process, kind: int, most: int) -> AsyncIterator[None]:
    """Lower a limit of a running process below what it uses."""
    pid = process.process.pid
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


async def test_crowd_beyond_what_may_be_opened_is_told_and_images_go_on(
    tmp_path: Path, origin: Origin
) -> None:
    rows = [(f"P{n}", origin.add(f"/{n}.jpg", Answer(body=photos.jpeg(seed=n)))) for n in range(20)]
    arguments = ("serve", "--port", "0", "--data-dir", tmp_path)
    async with (
        Process(*arguments, files=128) as process,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as stack,
    ):
        url = await process.url()
        port = int(url.rpartition(":")[2])
        # its connection is kept, and is used again
        assert await get_json(session, f"{url}/ping") == {"status": "pong"}
        crowd = [await stack.enter_async_context(await Wire.to(port)) for _ in range(300)]
        await process.said("Too many connections: ")
        assert (await crowd[-1].reply()).status == 503
        request_id = await uploaded(session, url, rows)
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["status"] == "completed"
        await stack.aclose()
        await answered(port)
    assert lines(process, "this process may open 128 files") == 1
    assert lines(process, "Too many connections: ") == 1
    assert lines(process, "Traceback") == 0
    assert len(process.log) < MOST_LINES


async def test_nothing_is_said_of_a_limit_that_is_high_enough(tmp_path: Path) -> None:
    async with server(tmp_path) as process, aiohttp.ClientSession() as session:
        assert await get_json(session, f"{await process.url()}/ping") == {"status": "pong"}
    assert lines(process, "this process may open") == 0


async def test_start_with_too_few_files_says_what_to_do(tmp_path: Path) -> None:
    async with Process("serve", "--port", "0", "--data-dir", tmp_path, files=20) as process:
        code, _ = await process.ended()
    assert code == 2
    assert lines(process, "ulimit -n") == 2  # what it keeps to, and that this is not enough
    assert lines(process, "Traceback") == 0


@only_linux
async def test_service_that_can_open_nothing_goes_on_when_it_can(tmp_path: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    first = [("First", origin.add("/first.jpg", Answer(body=photos.jpeg(), close=True)))]
    rows = [
        (f"P{n}", origin.add(f"/{n}.jpg", Answer(body=photos.jpeg(seed=n), gate=gate, close=True)))
        for n in range(6)
    ]
    async with (
        server(tmp_path, RESIZER_FETCH__RETRIES="0") as process,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as stack,
    ):
        url = await process.url()
        port = int(url.rpartition(":")[2])
        done = await uploaded(session, url, first)
        await get_json(session, f"{url}/status/{done}", Prefer="wait=60")
        (image,) = (await get_json(session, f"{url}/requests/{done}/images"))["data"]
        request_id = await uploaded(session, url, rows)
        await origin.arrived("/0.jpg")
        async with limited(process, resource.RLIMIT_NOFILE, 5):
            gate.set()
            crowd = [await stack.enter_async_context(await Wire.to(port)) for _ in range(100)]
            for wire in crowd:
                await wire.send(PING)
            await process.said("Cannot accept connections: .*ulimit -n")
            await process.said("images wait until there is room: .*ulimit -n")
            for path in (image["output_url"], f"{url}/requests/{done}/images/0/original"):
                async with session.get(path) as response:
                    assert response.status == 503, await response.text()
                    assert (await response.json(content_type=None))["type"].endswith(":out-of-resources")
                    assert int(response.headers["Retry-After"]) > 0
            assert await get_json(session, f"{url}/ping") == {"status": "pong"}
            # last: a connection whose body was not read is closed, and there is no other then
            async with session.post(f"{url}/upload", data=form(catalogue(first))) as response:
                assert response.status == 503, await response.text()
                assert "ulimit -n" in (await response.json(content_type=None))["detail"]
        for wire in crowd:
            assert (await wire.reply()).status == 200
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["images"]["completed"] == len(rows)
        async with session.get(image["output_url"]) as response:
            assert response.status == 200
    for said in ("Cannot accept connections", "images wait", "Cannot handle requests"):
        assert lines(process, said) == 1
    assert lines(process, "Traceback") == 0
    assert len(process.log) < MOST_LINES


@only_linux
@pytest.mark.skipif(os.geteuid() == 0, reason="no limit of threads binds root")
async def test_service_that_can_start_no_thread_goes_on_when_it_can(tmp_path: Path, origin: Origin) -> None:
    """A compressing process dies then, too: another needs threads, as does the lookup of a name."""
    rows = []
    for number in range(6):
        origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number)))
        rows.append((f"P{number}", origin.url(f"/{number}.jpg", host="localhost" if number % 2 else None)))
    async with server(tmp_path) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        async with limited(process, resource.RLIMIT_NPROC, 1):
            # the process that starts them is the service's own child
            pid = process.process.pid
            (child,) = [each for each in descendants(pid) if parent_of(each) != pid]
            os.kill(child, signal.SIGKILL)
            request_id = await uploaded(session, url, rows)
            await process.said("images wait until there is room: .*ulimit -u")
            await process.said("cannot start a compressing process.*ulimit -u")
            for path in ("/ping", f"/status/{request_id}", "/requests"):
                await get_json(session, f"{url}{path}")
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["images"]["completed"] == len(rows)
    assert lines(process, "Traceback") == 0
    assert len(process.log) < MOST_LINES
