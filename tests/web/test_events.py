"""Server-sent events: what is told, when, and how a stream ends."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from resizer.app import stop
from resizer.errors import DatabaseFailure
from resizer.pipeline.watchers import PACE
from resizer.web.api import event_stream as events
from resizer.web.keys import REQUESTS
from service import Client, catalogue, problem, settled, upload
from wire import PATIENCE, errors_in

Serve = Callable[..., Awaitable[Client]]
Event = dict[str, str]


class Stream:
    """One stream of events, read as a browser reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments = 0

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        event: Event = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self.response.content:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name.startswith(":") or line.startswith(b":"):
                    self.comments += 1
                elif name:
                    assert name not in event
                    event[name] = value
                elif event:
                    return event
        return None

    async def rest(self) -> list[Event]:
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def stream(client: Client, request_id: str, **headers: str) -> AsyncIterator[Stream]:
    async with client.get(f"/requests/{request_id}/events", headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


def data(event: Event | None) -> dict[str, Any]:
    assert event is not None
    body: dict[str, Any] = json.loads(event["data"])
    return body


async def held_up(client: Client, origin: Origin, *, images: int = 1) -> tuple[str, list[asyncio.Event]]:
    """A request whose images each wait at their host until they are let go."""
    gates = [asyncio.Event() for _ in range(images)]
    for number, gate in enumerate(gates):
        origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number), gate=gate))
    rows = [("One", *(origin.url(f"/{number}.jpg") for number in range(images)))]
    return (await upload(client, catalogue(rows)))["request_id"], gates


async def test_each_change_is_told_and_the_last_as_done(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id, gates = await held_up(client, origin, images=3)
    async with stream(client, request_id) as told:
        found = [await told.next()]
        for count, gate in enumerate(gates, 1):
            gate.set()
            while data(found[-1])["images"]["completed"] < count:
                found.append(await told.next())
        found += await told.rest()
        assert not told.response.content.exception()
    kinds = [event["event"] for event in found if event]
    assert kinds == ["progress"] * (len(kinds) - 1) + ["done"]
    assert data(found[0])["images"]["completed"] == 0
    final = await settled(client, request_id)
    assert data(found[-1]) == data(found[-2]) == final
    assert [data(event)["done"] for event in found] == [False] * (len(found) - 2) + [True] * 2


async def test_body_is_that_of_status(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id, _ = await held_up(client, origin)
    await origin.arrived("/0.jpg")
    async with stream(client, request_id) as told:
        first = await told.next()
        async with client.get(f"/status/{request_id}") as response:
            assert data(first) == await response.json()


async def test_final_request_is_told_at_once_and_ends(serve: Serve) -> None:
    client = await serve()
    request_id = (await upload(client, catalogue([("One", "nonsense://a")])))["request_id"]
    final = await settled(client, request_id)
    async with stream(client, request_id) as told:
        found = await told.rest()
        assert [event["event"] for event in found] == ["progress", "done"]
        assert [data(event) for event in found] == [final, final]
        assert int(found[0]["retry"]) >= 1000


async def test_headers_keep_a_proxy_from_holding_events_back(serve: Serve) -> None:
    client = await serve()
    request_id = (await upload(client, catalogue([("One", "nonsense://a")])))["request_id"]
    async with stream(client, request_id) as told:
        headers = told.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Transfer-Encoding"] == "chunked"


async def test_browser_that_has_seen_the_end_is_told_not_to_come_again(serve: Serve) -> None:
    """A browser asks again whenever a stream ends; 204 is what stops it."""
    client = await serve()
    request_id = (await upload(client, catalogue([("One", "nonsense://a")])))["request_id"]
    await settled(client, request_id)
    async with stream(client, request_id) as told:
        last = (await told.rest())[-1]["id"]
    again = {"Last-Event-ID": last}
    async with client.get(f"/requests/{request_id}/events", headers=again) as response:
        assert response.status == 204
        assert await response.read() == b""
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
    async with stream(client, request_id, **again) as told:
        assert (await told.rest())[-1]["event"] == "done"


async def test_unknown_request_is_a_problem_and_no_stream(serve: Serve) -> None:
    client = await serve()
    async with client.get("/requests/nonsense/events") as response:
        await problem(response, 404)


async def test_head_has_the_headers_and_ends(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id, _ = await held_up(client, origin)
    for _ in range(2):  # the connection is kept
        async with client.head(f"/requests/{request_id}/events") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert await response.read() == b""
    async with client.head("/requests/nonsense/events") as response:
        assert response.status == 404


async def test_no_more_than_four_a_second(serve: Serve, origin: Origin) -> None:
    client = await serve()
    for number in range(20):
        origin.add(f"/{number}.jpg", Answer(body=b"no image", delay=number * 0.04))
    rows = [("One", *(origin.url(f"/{number}.jpg") for number in range(20)))]
    loop = asyncio.get_running_loop()
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    async with stream(client, request_id) as told:
        began = loop.time()
        found = await told.rest()
        took = loop.time() - began
    progress = [event for event in found if event["event"] == "progress"]
    assert len(progress) <= 1 + took / PACE
    assert data(found[-1])["images"]["failed"] == 20


async def test_silent_stream_is_kept_alive(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.02)
    client = await serve()
    request_id, gates = await held_up(client, origin)
    async with stream(client, request_id) as told:
        assert await told.next()
        async with asyncio.timeout(PATIENCE):
            assert (await told.response.content.readline()).startswith(b":")
        gates[0].set()
        assert (await told.rest())[-1]["event"] == "done"


async def test_stream_ends_without_done_when_the_service_stops(
    serve: Serve, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    request_id, _ = await held_up(client, origin)
    async with stream(client, request_id) as told:
        assert await told.next()
        await stop(client.app)
        assert "done" not in [event["event"] for event in await told.rest()]
    assert errors_in(caplog.records) == []


async def test_stream_ends_without_done_when_the_request_is_deleted(
    serve: Serve, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    request_id, _ = await held_up(client, origin)
    async with stream(client, request_id) as told:
        assert await told.next()
        async with client.delete(f"/requests/{request_id}") as response:
            assert response.status == 204
        assert await told.rest() == []
    assert errors_in(caplog.records) == []


async def test_fault_on_the_way_breaks_the_connection(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    request_id, gates = await held_up(client, origin, images=2)

    async def fails(_: object) -> None:
        raise DatabaseFailure("the disk is gone")

    async with stream(client, request_id) as told:
        assert await told.next()
        monkeypatch.setattr(client.app[REQUESTS], "webhook", fails)
        gates[0].set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await told.rest()
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == [events.__name__]
    monkeypatch.undo()
    gates[1].set()
    await settled(client, request_id)
