"""Events and archive of a request are as in docs/api.md, tested by HTTP."""

import io
import json
import zipfile
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from acceptance import STATUS_BODY, UNKNOWN, Json, Stage, fits, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("data")) as opened:
        yield opened


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Json]]:
    """Yield each event by its name, as EventSource reads them, to the end of the stream."""
    name, data = "message", ""
    async for line in response.content:
        field, _, value = line.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not field and not value and data:
            yield name, json.loads(data)
            name, data = "message", ""


async def test_events_tell_the_progress_and_then_the_end(service: Stage) -> None:
    request_id, gate = await service.unfinished(service.picture())
    seen: list[tuple[str, Json]] = []
    async with service.session.get(f"/requests/{request_id}/events") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        async for name, body in events_of(response):
            fits(body, STATUS_BODY)
            seen.append((name, body))
            gate.set()  # once the first has come
    assert [name for name, _ in seen] == ["progress"] * (len(seen) - 1) + ["done"]
    first, last = seen[0][1], seen[-1][1]
    assert (first["request_id"], first["done"], first["images"]["pending"]) == (request_id, False, 1)
    assert last == await service.status(request_id)
    done = [body["images"]["pending"] for _, body in seen]
    assert done == sorted(done, reverse=True)


async def test_events_of_what_has_ended_end_at_once(service: Stage) -> None:
    request_id = await service.finished([("One", service.picture())])
    async with service.session.get(f"/requests/{request_id}/events") as response:
        seen = [event async for event in events_of(response)]
    assert seen[-1] == ("done", await service.status(request_id))


async def test_events_end_with_a_cancelled_request(service: Stage) -> None:
    request_id, _ = await service.unfinished()
    async with service.session.get(f"/requests/{request_id}/events") as response:
        seen = events_of(response)
        name, _ = await anext(seen)
        assert name == "progress"
        assert await service.code("POST", f"/requests/{request_id}/cancel") == 202
        rest = [event async for event in seen]
    assert (rest[-1][0], rest[-1][1]["status"]) == ("done", "cancelled")


async def test_archive_holds_the_result_and_each_image_under_a_readable_name(service: Stage) -> None:
    same = service.picture()
    rows = [("Chair", service.picture(), service.absent(), same), ("Sofa/..:*", same), ("Nothing",)]
    request_id = await service.finished(rows, filename="Prés.csv")
    async with service.session.get(f"/requests/{request_id}/archive") as response:
        assert (response.status, response.content_type) == (200, "application/zip")
        assert response.content_disposition is not None
        assert response.content_disposition.type == "attachment"
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))
    assert archive.testzip() is None
    async with service.session.get(f"/result/{request_id}") as response:
        assert archive.read("result.csv") == await response.read()
    names = [name for name in archive.namelist() if name != "result.csv"]
    completed = await service.images(request_id, "?status=completed")
    assert len(names) == len(completed) == 3
    for name, image in zip(names, completed, strict=True):
        async with service.session.get(image["output_url"]) as response:
            assert archive.read(name) == await response.read()
        folder, _, file = name.partition("/")
        assert image["product_name"][:4] in folder
        assert file.startswith(str(image["position"]))
        assert file.endswith(".jpg")
        assert not set(':*"<>|?\\') & set(name)
        assert ".." not in name.split("/")


async def test_archive_is_a_conflict_until_the_end(service: Stage) -> None:
    request_id, gate = await service.unfinished()
    headers = await service.refused(409, "GET", f"/requests/{request_id}/archive")
    assert int(headers["Retry-After"]) > 0
    gate.set()


@pytest.mark.parametrize("part", ["events", "archive"])
async def test_unknown_request_is_a_problem(part: str, service: Stage) -> None:
    await service.refused(404, "GET", f"/requests/{UNKNOWN}/{part}")


@pytest.mark.parametrize("part", ["events", "archive"])
async def test_head_has_the_type_and_no_body(part: str, service: Stage) -> None:
    request_id = await service.finished([("One", service.picture())])
    async with service.session.get(f"/requests/{request_id}/{part}") as response:
        content_type = response.headers["Content-Type"]
        await response.read()
    async with service.session.head(f"/requests/{request_id}/{part}") as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Type"] == content_type
