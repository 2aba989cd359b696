"""Clients that leave while they wait: nobody works for them, and their place is free at once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from origin import Answer, Origin
from resizer.app import WATCHERS, create_app, stop
from resizer.web.keys import REQUESTS
from service import catalogue, form, settings_for
from wire import PATIENCE, Wire, errors_in, listening

#: what waits: a header and the path behind the request's id
WAITING = [
    pytest.param("/status/{}", b"Prefer: wait=60\r\n", id="wait"),
    pytest.param("/requests/{}/events", b"", id="events"),
]


@asynccontextmanager
async def service(folder: Path, **server: Any) -> AsyncIterator[tuple[int, web.Application]]:
    """The service with its own protocol; yields its port and its application."""
    app = create_app(settings_for(folder / "data", server=server))
    async with listening(app, **server) as port:
        yield port, app


async def uploaded(port: int, origin: Origin) -> str:
    """A request that does not end."""
    origin.add("/a.jpg", Answer.hang())
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/upload", data=form(catalogue([("One", origin.url("/a.jpg"))]))
        ) as response,
    ):
        assert response.status == 202
        return str((await response.json())["request_id"])


def waiting(app: web.Application) -> int:
    """How many handlers wait for a commit."""
    watchers = app[WATCHERS]
    return sum(map(len, [*watchers._waiting.values(), *watchers._following.values()]))  # noqa: SLF001


async def until(count: int, app: web.Application) -> None:
    async with asyncio.timeout(PATIENCE):
        while waiting(app) != count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path, header", WAITING)
async def test_place_is_free_as_soon_as_who_waits_has_left(
    path: str, header: bytes, tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """There is room for two: one more is let in only when both are gone, long before what they wait for."""
    caplog.set_level(logging.DEBUG)
    async with service(tmp_path, max_connections=2) as (port, app):
        request_id = await uploaded(port, origin)
        target = path.format(request_id).encode()
        wires = [await Wire.to(port) for _ in range(2)]
        for wire in wires:
            await wire.send(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n")
        await until(2, app)
        wires[0].writer.close()
        cast(asyncio.Transport, wires[1].writer.transport).abort()
        await until(0, app)
        inside = [await Wire.to(port) for _ in range(2)]
        for wire in inside:
            await wire.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await wire.reply()).status == 200
            wire.writer.close()
    assert errors_in(caplog.records) == []
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_connection_serves_on_after_a_wait_and_a_stream(tmp_path: Path, origin: Origin) -> None:
    """What ends with the client leaves nothing behind that would end the next request."""
    async with service(tmp_path) as (port, app):
        request_id = await uploaded(port, origin)
        async with await Wire.to(port) as wire:
            head = (
                b"GET /status/"
                + request_id.encode()
                + b" HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n\r\n"
            )
            await wire.send(head)
            await until(1, app)
            await stop(app)
            assert (await wire.reply()).status == 200
            await wire.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await wire.reply()).status == 200
            await wire.send(
                b"GET /requests/" + request_id.encode() + b"/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            async with asyncio.timeout(PATIENCE):
                told = await wire.reader.readuntil(b"\r\n0\r\n\r\n")
            assert b"event: progress" in told
            await wire.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await wire.reply()).status == 200


async def test_who_takes_no_events_is_ended_and_no_events_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """Each status is huge and changes all the time; the client never reads."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("resizer.pipeline.watchers.PACE", 0)
    async with service(tmp_path, request_timeout=0.4) as (port, app):
        request_id = await uploaded(port, origin)
        batch = await app[REQUESTS].batch(request_id)
        made = 0

        async def huge(_: object) -> dict[str, str]:
            nonlocal made
            made += 1
            app[WATCHERS].changed([batch.id])
            return {"url": "x" * 1_000_000, "number": str(made)}

        async def changing(_: object) -> Any:
            return batch if made == 0 else replace(batch, input_bytes=made)

        monkeypatch.setattr(app[REQUESTS], "webhook", huge)
        monkeypatch.setattr(app[REQUESTS], "batch", changing)
        async with await Wire.to(port) as stuck:
            cast(asyncio.Transport, stuck.writer.transport).pause_reading()
            await stuck.send(
                b"GET /requests/" + request_id.encode() + b"/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            await until(1, app)
            await until(0, app)
        # what the system holds for both sides, and no more
        assert made < 30
    assert errors_in(caplog.records) == []
