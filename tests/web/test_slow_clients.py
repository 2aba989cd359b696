"""Clients that send nothing, half of something, or too slowly, or that never read, keep no connection."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from test_upload import requests_made

from resizer.app import create_app
from resizer.web.connection.aiohttp_internals import WatchedConnection
from resizer.web.connection.client_connection import WRITE_SPANS
from resizer.web.connection.minimum_rate import MIN_RATE, MinimumRate
from service import catalogue, settings_for
from wire import PATIENCE, Wire, errors_in, listening

GET = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
CSV = catalogue([("One", "nonsense://example.com/a.jpg")])
#: seconds
TIMEOUT = 0.4


def post(length: int, path: str = "/upload", **headers: str) -> bytes:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"Host": "localhost", "Content-Type": "text/csv", "Content-Length": str(length), **given}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


CHUNKED = post(0, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")


@asynccontextmanager
async def service(folder: Path, **server: Any) -> AsyncIterator[int]:
    server = {"request_timeout": TIMEOUT, **server}
    async with listening(create_app(settings_for(folder / "data", server=server)), **server) as port:
        yield port


@asynccontextmanager
async def dripping(wire: Wire, piece: bytes) -> AsyncIterator[None]:
    """Send this five times in each span of the limit."""

    async def drip() -> None:
        for _ in range(1000):
            await wire.send(piece)
            await asyncio.sleep(TIMEOUT / 5)

    task = asyncio.create_task(drip())
    try:
        yield
    finally:
        task.cancel()


def left_nothing(folder: Path) -> bool:
    return requests_made(folder) == 0 and not list((folder / "data" / "spool").iterdir())


async def served(port: int) -> None:
    """Wait until there is room for one more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with await Wire.to(port) as wire:
                await wire.send(GET)
                if (await wire.reply()).status == 200:
                    return
            await asyncio.sleep(0.02)


async def test_who_sends_nothing_is_closed_without_a_word(tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        assert await wire.closed() == b""


@pytest.mark.parametrize("begun", [b"G", b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-Half", GET[:-2]])
async def test_half_a_header_is_answered_408_and_closed(begun: bytes, tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(begun)
        reply = await wire.reply()
        assert "request_timeout" in reply.problem(408)["detail"]
        assert reply.headers["connection"] == "close"
        assert await wire.closed() == b""


async def test_header_that_comes_byte_by_byte_is_answered_408(tmp_path: Path) -> None:
    """Each byte buys no further time."""
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(b"GET /ping HTTP/1.1\r\nX: ")
        async with dripping(wire, b"x"):
            (await wire.reply()).problem(408)
            await wire.closed()


@pytest.mark.parametrize("begun", [b"GET /pi", b"POST /upload HTTP/1.1\r\n"])
async def test_half_a_header_on_a_kept_connection_is_answered_408(begun: bytes, tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(GET)
        assert (await wire.reply()).status == 200
        await wire.send(begun)
        (await wire.reply()).problem(408)
        assert await wire.closed() == b""


@pytest.mark.parametrize("body", [b"", b"5\r\n12345\r\n0\r\n\r\n"])
async def test_half_a_header_in_one_packet_with_a_request_is_answered_408(
    body: bytes, tmp_path: Path
) -> None:
    whole = CHUNKED + body if body else GET
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(whole + b"GET /ping HTTP/1.1\r\nHost: localhost\r\n")
        await wire.reply()
        (await wire.reply()).problem(408)
        assert await wire.closed() == b""


async def test_who_idles_between_two_requests_is_not_closed(tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(GET)
        assert (await wire.reply()).status == 200
        await wire.send(b"\r\n")  # some old clients end a request with a line break too many
        await asyncio.sleep(3 * TIMEOUT)
        await wire.send(GET)
        assert (await wire.reply()).status == 200


@pytest.mark.parametrize("drip", [b"", b"x"])
@pytest.mark.parametrize("chunked", [True, False])
async def test_body_at_no_pace_is_answered_408_and_leaves_nothing(
    drip: bytes, chunked: bool, tmp_path: Path
) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        head = post(0, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
        # an endless chunk extension is no body either
        await wire.send(head + b"1;" if chunked else post(10_000) + CSV)
        async with dripping(wire, drip):
            reply = await wire.reply()
            assert "request_timeout" in reply.problem(408)["detail"]
            assert reply.headers["connection"] == "close"
            await wire.closed()
        assert left_nothing(tmp_path)


async def test_body_that_is_slow_and_steady_is_taken(tmp_path: Path) -> None:
    """Over more than twice the limit, and so that a machine that stutters does not end it."""
    data = CSV + b"2,Two,\r\n" * 700
    async with service(tmp_path, request_timeout=1) as port, await Wire.to(port) as wire:
        await wire.send(post(len(data)))
        for start in range(0, len(data), MIN_RATE // 2):
            await wire.send(data[start : start + MIN_RATE // 2])
            await asyncio.sleep(0.1)
        assert (await wire.reply()).status == 202


async def test_body_that_nobody_reads_is_not_waited_for_long(tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(post(10_000, "/ping"))
        reply = await wire.reply()
        reply.problem(405)
        assert reply.headers["connection"] == "close"
        assert await wire.closed() == b""


async def test_slow_body_behind_an_upgrade_that_is_declined_is_answered_408(tmp_path: Path) -> None:
    upgrade = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(upgrade + post(10_000) + CSV)
        assert (await wire.reply()).status == 200
        (await wire.reply()).problem(408)
        await wire.closed()
        assert left_nothing(tmp_path)


UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        CHUNKED,
        CHUNKED.replace(b"text/csv", b"multipart/form-data; boundary=b"),
        CHUNKED.removesuffix(b"\r\n") + UPGRADE,
        CHUNKED.replace(b"/upload", b"/nowhere"),
    ],
    ids=["csv", "form", "upgrade", "unwanted"],
)
@pytest.mark.parametrize(
    "broken",
    [b"ZZ\r\n", b"0\r\nX: " + bytes([120]) * 20_000 + b"\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n"],
    ids=["chunk", "trailer", "trailers"],
)
async def test_body_whose_framing_breaks_is_answered_and_closed(
    head: bytes, broken: bytes, tmp_path: Path
) -> None:
    """In a packet of its own, when the body is being read already."""
    async with service(tmp_path, request_timeout=PATIENCE) as port, await Wire.to(port) as wire:
        await wire.send(head + b"5\r\n--b\r\n\r\n")
        if b"/nowhere" in head:
            (await wire.reply()).problem(404)
        else:
            async with asyncio.timeout(PATIENCE):
                while True:
                    if list((tmp_path / "data" / "spool").iterdir()):
                        break
                    await asyncio.sleep(0.01)
        await wire.send(broken)
        if b"/nowhere" not in head:
            (await wire.reply()).problem(400)
        await wire.closed()
        assert left_nothing(tmp_path)


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_body_whose_framing_breaks_before_it_is_read_is_not_taken_for_whole(
    turns: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next packet comes so soon that its handler may not have begun."""
    receive = WatchedConnection.data_received

    def received(self: WatchedConnection, data: bytes) -> None:
        def follow(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(follow, left - 1)
            else:
                receive(self, b"ZZ\r\n")

        receive(self, data)
        if data:
            follow(turns)

    monkeypatch.setattr(WatchedConnection, "data_received", received)
    async with service(tmp_path, request_timeout=PATIENCE) as port, await Wire.to(port) as wire:
        await wire.send(CHUNKED + f"{len(CSV):x}\r\n".encode() + CSV + b"\r\n")
        (await wire.reply()).problem(400)
        assert await wire.closed() == b""
        assert left_nothing(tmp_path)


async def test_time_in_which_the_server_reads_nothing_does_not_count() -> None:
    """A client sends all it can at once; the handler comes to it three limits later."""

    async def take_late(request: web.Request) -> web.Response:
        await asyncio.sleep(3 * TIMEOUT)
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=10**8)
    app.router.add_post("/", take_late)
    data = bytes(20_000_000)
    async with listening(app, request_timeout=TIMEOUT) as port, await Wire.to(port) as wire:
        sending = asyncio.create_task(wire.send(post(len(data), "/") + data))
        reply = await wire.reply()
        await sending
    assert (reply.status, reply.body) == (200, b"20000000")


async def test_pace_is_watched_again_after_a_pause() -> None:
    body = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    told = asyncio.Event()
    watch = MinimumRate(body, span=0.1, too_slow=told.set)
    watch.pause()
    await asyncio.sleep(0.4)
    assert not told.is_set()
    watch.resume()
    async with asyncio.timeout(PATIENCE):
        await told.wait()
    watch.stop()


@pytest.fixture
def endless(tmp_path: Path) -> web.Application:
    """Answers that are larger than any buffer: in pieces, whole, and from a file."""

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(bytes(1_000_000))
        return response

    async def whole(request: web.Request) -> web.Response:
        del request
        return web.Response(body=bytes(50_000_000))

    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50_000_000)

    async def file_(request: web.Request) -> web.FileResponse:
        del request
        return web.FileResponse(path)

    async def ping(request: web.Request) -> web.Response:
        del request
        return web.Response(text="pong")

    app = web.Application()
    app.router.add_get("/pieces", pieces)
    app.router.add_get("/whole", whole)
    app.router.add_get("/file", file_)
    app.router.add_get("/ping", ping)
    return app


@pytest.mark.parametrize("path", ["/pieces", "/whole", "/file"])
async def test_who_never_reads_its_answer_is_closed(
    path: str, endless: web.Application, caplog: pytest.LogCaptureFixture
) -> None:
    """There is room for one connection: the next is served only when the first is gone."""
    caplog.set_level(logging.DEBUG)
    limits = {"request_timeout": TIMEOUT, "max_connections": 1}
    async with listening(endless, **limits) as port, await Wire.to(port) as stuck:
        cast(asyncio.Transport, stuck.writer.transport).pause_reading()
        await stuck.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await served(port)
    assert errors_in(caplog.records) == []


@pytest.mark.parametrize("path", ["/pieces", "/whole", "/file"])
async def test_who_reads_slowly_is_not_closed(path: str, endless: web.Application) -> None:
    """A little at a time through a small buffer, and for longer than one may take nothing."""
    loop = asyncio.get_running_loop()
    async with listening(endless, request_timeout=TIMEOUT) as port:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
            slow.setblocking(False)  # noqa: FBT003 - so it is called
            await loop.sock_connect(slow, ("127.0.0.1", port))
            await loop.sock_sendall(slow, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            began = loop.time()
            while loop.time() < began + 2 * WRITE_SPANS * TIMEOUT:
                assert await loop.sock_recv(slow, 4_000)
                await asyncio.sleep(TIMEOUT / 4)
            async with asyncio.timeout(PATIENCE):
                for _ in range(100):
                    assert await loop.sock_recv(slow, 100_000)


async def test_place_is_taken_for_as_long_as_someone_works_for_who_has_gone() -> None:
    at_work, through = asyncio.Event(), asyncio.Event()

    async def work(request: web.Request) -> web.Response:
        del request
        at_work.set()
        await through.wait()
        return web.Response()

    async def ping(request: web.Request) -> web.Response:
        del request
        return web.Response(text="pong")

    app = web.Application()
    app.router.add_get("/work", work)
    app.router.add_get("/ping", ping)
    async with listening(app, max_connections=1) as port:
        async with await Wire.to(port) as gone:
            await gone.send(b"GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                await at_work.wait()
            cast(asyncio.Transport, gone.writer.transport).abort()
        async with await Wire.to(port) as refused:
            await refused.send(GET)
            (await refused.reply()).problem(503)
        through.set()
        await served(port)


async def test_expectation_is_met_when_the_body_is_wanted(tmp_path: Path) -> None:
    """The body comes later than the header may: its own clock runs for it."""
    async with service(tmp_path, request_timeout=2) as port, await Wire.to(port) as wire:
        await asyncio.sleep(1.1)
        await wire.send(post(len(CSV), Expect="100-continue"))
        assert (await wire.reply()).status == 100
        await asyncio.sleep(1.1)
        await wire.send(CSV)
        assert (await wire.reply()).status == 202


@pytest.mark.parametrize(
    "head, status",
    [
        pytest.param(post(10**9, Expect="100-continue"), 413, id="too large"),
        pytest.param(post(5, Expect="100-continue", Content_Type="image/png"), 415, id="no CSV"),
        pytest.param(post(5, Expect="a miracle"), 417, id="unknown"),
        pytest.param(post(5, "/ping", Expect="a miracle"), 417, id="unknown elsewhere"),
    ],
)
async def test_body_that_is_not_wanted_is_not_asked_for(head: bytes, status: int, tmp_path: Path) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(head)
        reply = await wire.reply()
        reply.problem(status)
        assert reply.headers["connection"] == "close"


async def test_body_of_who_has_no_token_is_not_asked_for(tmp_path: Path) -> None:
    async with service(tmp_path, api_tokens=["a-token"]) as port, await Wire.to(port) as wire:
        await wire.send(post(5, Expect="100-continue"))
        (await wire.reply()).problem(401)


async def test_one_connection_more_than_the_limit_is_told_to_come_back(tmp_path: Path) -> None:
    async with service(tmp_path, max_connections=20, request_timeout=PATIENCE) as port:
        inside = [await Wire.to(port) for _ in range(20)]
        for wire in inside:
            await wire.send(GET)
            assert (await wire.reply()).status == 200
        for _ in range(3):
            async with await Wire.to(port) as refused:
                await refused.send(GET)
                reply = await refused.reply()
                assert "max_connections" in reply.problem(503)["detail"]
                assert int(reply.headers["retry-after"]) > 0
                assert reply.headers["connection"] == "close"
                assert await refused.closed() == b""
        async with inside.pop():
            pass
        await served(port)
        for wire in inside:
            await wire.send(GET)
            assert (await wire.reply()).status == 200
            wire.writer.close()


async def test_flood_beyond_the_limit_does_not_starve_who_is_inside(tmp_path: Path) -> None:
    limits = {"max_connections": 5, "request_timeout": PATIENCE}
    async with service(tmp_path, **limits) as port, await Wire.to(port) as inside:
        others = [await Wire.to(port) for _ in range(4)]
        flood = [asyncio.create_task(_refused(port, silent=number % 2 == 0)) for number in range(400)]
        for _ in range(20):
            await inside.send(GET)
            assert (await inside.reply()).status == 200
        # none of them was let in, whether it asked or kept silent
        assert set(await asyncio.gather(*flood)) == {503}
        for other in others:
            other.writer.close()


async def _refused(port: int, *, silent: bool) -> int:
    async with await Wire.to(port) as wire:
        if not silent:
            await wire.send(GET)
        return (await wire.reply()).status
