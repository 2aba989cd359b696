"""With an aiohttp that differs from the tested one, the server gives up what depends on its private side."""

import asyncio
import gzip
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from test_upload import requests_made

import photos
from origin import Answer, Origin
from resizer.app import create_app
from resizer.web.connection import aiohttp_internals
from resizer.web.connection.aiohttp_internals import (
    LOST,
    TESTED_UP_TO,
    WatchedConnection,
    connection_class,
    difference,
)
from resizer.web.connection.client_connection import ClientConnection
from resizer.web.connection.client_disconnect import cancelled_on_disconnect
from service import catalogue, form, settings_for
from wire import PATIENCE, Wire, errors_in, listening

CSV = catalogue([("One", "nonsense://example.com/a.jpg")])
GET = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
NEWER = "99.0.1"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "__version__", NEWER)


@asynccontextmanager
async def service(folder: Path, **limits: int) -> AsyncIterator[int]:
    app = create_app(settings_for(folder / "data", server=limits))
    async with listening(app, **limits) as port:
        yield port


def test_installed_aiohttp_is_one_that_was_tested() -> None:
    assert difference() is None
    assert connection_class() is WatchedConnection


def test_pyproject_names_the_newest_version_tested() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    (line,) = re.findall(r'^ *"aiohttp>=.*$', text, re.MULTILINE)
    assert f"tested up to {TESTED_UP_TO}" in line


@pytest.mark.parametrize(
    "version, differs", [("3.14.0", False), ("3.14.99", False), ("3.15.0a1", True), ("4.0.0", True)]
)
def test_later_minor_version_is_another_aiohttp(
    version: str, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    assert bool(difference()) == differs


def test_attribute_that_is_gone_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = {web.RequestHandler: ("_messages", "_no_such_thing")}
    monkeypatch.setattr(aiohttp_internals, "ATTRIBUTES", wanted)
    assert connection_class() is ClientConnection
    assert "RequestHandler._no_such_thing is missing" in caplog.text


@pytest.mark.parametrize("name", ["finish_response", "no_such_method"])
def test_method_that_takes_something_else_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {(web.RequestHandler, name): ("self", "request", "something")}
    monkeypatch.setattr(aiohttp_internals, "METHODS", wanted)
    assert difference() == f"RequestHandler.{name} takes other parameters"


@pytest.mark.usefixtures("newer")
async def test_one_warning_says_what_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(GET)
        assert (await wire.reply()).status == 200
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"aiohttp {NEWER}" in warning.getMessage()
    assert LOST in warning.getMessage()


@pytest.mark.usefixtures("newer")
async def test_server_does_the_whole_job(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    source = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with service(tmp_path) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        data = form(catalogue([("One", source)]), quality="30")
        async with session.post("/upload", data=data) as response:
            assert response.status == 202, await response.text()
            request_id = (await response.json())["request_id"]
        async with session.get(f"/status/{request_id}", headers={"Prefer": "wait=60"}) as response:
            status = await response.json()
        assert (status["status"], status["recipe"]["quality"]) == ("completed", 30)
        async with session.get(f"/requests/{request_id}/images") as response:
            (image,) = (await response.json())["data"]
        async with session.get(image["output_url"], headers={"Range": "bytes=0-9"}) as response:
            assert (response.status, len(await response.read())) == (206, 10)
        async with session.get(f"/requests/{request_id}/events") as response:
            assert "event: done" in await response.text()
        async with session.get(f"/requests/{request_id}/archive") as response:
            assert response.status == 200
            assert (await response.read()).startswith(b"PK")
        async with session.get(f"/status/{'0' * 8}") as response:
            assert response.content_type == "application/problem+json"
    assert errors_in(caplog.records) == []


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize(
    "encoding, kind, body, status",
    [
        ("gzip", "text/csv", gzip.compress(CSV), 202),
        ("gzip", "text/csv", gzip.compress(CSV)[:-9], 400),
        ("identity", "text/csv", CSV[:10], 422),
        ("gzip", "multipart/form-data; boundary=b", gzip.compress(b"--b\r\n"), 415),
        ("identity", "multipart/form-data; boundary=b", b"--b\r\n", 400),
    ],
    ids=["gzip", "gzip cut off", "no CSV", "gzip of a form", "form cut off"],
)
async def test_upload_is_read_or_refused(
    encoding: str, kind: str, body: bytes, status: int, tmp_path: Path
) -> None:
    head = (
        f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(head.encode() + body)
        reply = await wire.reply()
    assert reply.status == status, reply.body
    assert requests_made(tmp_path) == (status == 202)


@pytest.mark.usefixtures("newer")
async def test_body_is_asked_for_once(tmp_path: Path) -> None:
    head = (
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(CSV)}\r\n\r\n"
    )
    async with service(tmp_path) as port, await Wire.to(port) as wire:
        await wire.send(head.encode())
        assert (await wire.reply()).status == 100
        await wire.send(CSV)
        assert (await wire.reply()).status == 202


@pytest.mark.usefixtures("newer")
async def test_body_that_breaks_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    chunk = f"{len(CSV):x}\r\n".encode() + CSV + b"\r\n"
    for framing, body in ((b"Content-Length: 100000", CSV), (b"Transfer-Encoding: chunked", chunk)):
        async with service(tmp_path) as port:
            async with await Wire.to(port) as wire:
                await wire.send(head + framing + b"\r\n\r\n" + body)
            async with await Wire.to(port) as other:
                await other.send(GET)
                assert (await other.reply()).status == 200
        assert requests_made(tmp_path) == 0


@pytest.mark.usefixtures("newer")
async def test_connections_are_limited_and_those_of_silent_readers_ended() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1_000_000))

    app = web.Application()
    app.router.add_get("/endless", endless)
    async with (
        listening(app, request_timeout=0.4, max_connections=1) as port,
        await Wire.to(port) as stuck,
    ):
        cast(asyncio.Transport, stuck.writer.transport).pause_reading()
        await stuck.send(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with await Wire.to(port) as refused:
            await refused.send(GET)
            (await refused.reply()).problem(503)
        async with asyncio.timeout(PATIENCE):
            while True:
                async with await Wire.to(port) as wire:
                    await wire.send(GET)
                    if (await wire.reply()).status == 404:
                        return
                await asyncio.sleep(0.02)


@pytest.mark.usefixtures("newer")
async def test_who_waits_and_leaves_is_waited_for_no_longer() -> None:
    """It needs nothing private."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        try:
            with cancelled_on_disconnect(request):
                begun.set()
                await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", wait)
    async with listening(app) as port:
        async with await Wire.to(port) as wire:
            await wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
