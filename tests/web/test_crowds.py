"""Many clients at once, against the service as a process of its own."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from process import get_json, server
from service import catalogue, form
from wire import PATIENCE, Wire

CSV = catalogue([("One", "nonsense://example.com/a.jpg")])
START = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
POST = START + b"Content-Length: 10000\r\n\r\nS. No."
#: what a connection begins with before it stops, and what it is told
HALF_OPEN = {
    b"": b"",
    b"GET /ping HTTP/1.1\r\nHost:": b" 408 ",
    POST: b" 408 ",
}


@pytest.mark.early(2)
@pytest.mark.parametrize(
    "count, seconds",
    [
        pytest.param(150, 10, id="short"),
        pytest.param(2000, 20, id="long", marks=pytest.mark.soak),
    ],
)
async def test_half_open_connections_are_closed_and_hold_up_nobody(
    count: int, seconds: int, tmp_path: Path
) -> None:
    limits = {
        "RESIZER_SERVER__REQUEST_TIMEOUT": str(seconds),
        "RESIZER_SERVER__MAX_CONNECTIONS": str(count + 100),
    }
    async with server(tmp_path, **limits) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        port = int(url.rpartition(":")[2])

        async def half_open(begun: bytes) -> bytes:
            """What it is told, once it is closed."""
            async with await Wire.to(port) as wire:
                await wire.send(begun)
                opened.release()
                dripping = asyncio.create_task(drip(wire)) if begun == POST else None
                told = await wire.closed()
                if dripping is not None:
                    dripping.cancel()
                return told

        async def drip(wire: Wire) -> None:
            for _ in range(PATIENCE):
                await asyncio.sleep(seconds * 0.3)
                await wire.send(b"x")

        opened = asyncio.Semaphore(0)
        begun = [begun for begun in HALF_OPEN for _ in range(count // len(HALF_OPEN))]
        crowd = [asyncio.create_task(half_open(each)) for each in begun]
        for _ in crowd:
            await opened.acquire()
        for _ in range(10):
            assert await get_json(session, f"{url}/ping") == {"status": "pong"}
        async with session.post(f"{url}/upload", data=form(CSV)) as response:
            assert response.status == 202, await response.text()
            request_id = (await response.json())["request_id"]
        assert (await get_json(session, f"{url}/status/{request_id}", Prefer="wait=30"))["done"]
        for each, told in zip(begun, await asyncio.gather(*crowd), strict=True):
            assert HALF_OPEN[each] in told.partition(b"\r\n")[0]
            assert bool(told) == bool(HALF_OPEN[each])
        # of all that, one request was taken in
        assert len((await get_json(session, f"{url}/requests"))["data"]) == 1
        assert not list((tmp_path / "spool").iterdir())
    assert "Traceback" not in "\n".join(process.log)


async def test_hundred_posts_with_one_key_make_one_request(tmp_path: Path) -> None:
    """Each over a connection of its own, all with their body half sent before the first ends."""
    body = CSV + b"2,Two,\r\n" * 1000
    start = START + f"Content-Length: {len(body)}\r\nIdempotency-Key: one\r\n\r\n".encode()
    async with server(tmp_path) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        wires = [await Wire.to(int(url.rpartition(":")[2])) for _ in range(100)]
        for wire in wires:
            await wire.send(start + body[:-100])
        for wire in wires:
            await wire.send(body[-100:])
        replies = await asyncio.gather(*(wire.reply() for wire in wires))
        assert {reply.status for reply in replies} == {202}
        assert len({reply.headers["location"] for reply in replies}) == 1
        assert len((await get_json(session, f"{url}/requests"))["data"]) == 1
        for wire in wires:
            wire.writer.close()
