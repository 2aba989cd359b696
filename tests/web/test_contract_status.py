"""`GET /status/{request_id}` behaves as in docs/api.md, tested by HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio
from acceptance import IMAGE_BODY, STATUS_BODY, UNKNOWN, Stage, fits, stage, until

from service import DEFAULT_RECIPE, SECRET, Inbox

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("data"), webhook={"secret": SECRET}) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def partial(service: Stage) -> str:
    """A request that ended with one image failed."""
    rows = [("One", service.picture(), service.absent()), ("Two",), ("Three", service.picture())]
    return await service.finished(rows, filename="spring.csv")


async def test_final_status_says_all_that_is_known(service: Stage, partial: str) -> None:
    body = await service.status(partial)
    fits(body, STATUS_BODY)
    assert (body["request_id"], body["status"], body["done"]) == (partial, "partial", True)
    assert (body["filename"], body["products"]) == ("spring.csv", 3)
    assert body["images"] == {"total": 3, "pending": 0, "completed": 2, "failed": 1, "cancelled": 0}
    assert body["recipe"] == DEFAULT_RECIPE
    assert (body["expires_at"], body["webhook"]) == (None, None)
    created, started, ended = (
        datetime.fromisoformat(body[name]) for name in ("created_at", "started_at", "finished_at")
    )
    assert created <= started <= ended


async def test_bytes_are_those_of_completed_images(service: Stage, partial: str) -> None:
    figures = (await service.status(partial))["bytes"]
    completed = await service.images(partial, "?status=completed")
    assert figures["input"] == sum(image["input_bytes"] for image in completed)
    assert figures["output"] == sum(image["output_bytes"] for image in completed)
    assert figures["saved"] == figures["input"] - figures["output"]


async def test_every_url_of_a_status_is_absolute_and_answers(service: Stage, partial: str) -> None:
    body = await service.status(partial)
    for name in ("status_url", "result_url", "images_url", "archive_url"):
        assert body[name].startswith(f"{service.root}/")
        assert (name, await service.code("GET", body[name])) == (name, 200)


async def test_image_bodies_have_each_field_with_its_type(service: Stage, partial: str) -> None:
    found = await service.images(partial)
    for image in found:
        fits(image, IMAGE_BODY)
    assert [
        (image["line"], image["serial"], image["product_name"], image["position"]) for image in found
    ] == [
        (2, "1", "One", 1),
        (2, "1", "One", 2),
        (4, "3", "Three", 1),
    ]
    first, second, _ = found
    assert (first["format"], first["width"], first["height"]) == ("jpeg", 96, 72)
    assert first["error"] is None
    assert second["error"]["code"] == "http_status"
    assert second["error"]["http_status"] == 404
    absent = ("output_url", "format", "width", "height", "input_bytes", "output_bytes")
    assert [second[name] for name in absent] == [None] * 6


async def test_each_end_has_its_status(service: Stage) -> None:
    for urls, expected in (([service.picture()], "completed"), ([service.absent()], "failed")):
        request_id = await service.finished([("One", *urls)])
        assert (await service.status(request_id))["status"] == expected


async def test_options_are_told_as_recipe(service: Stage) -> None:
    options = {"quality": "70", "format": "webp", "max_width": "40", "max_height": "0"}
    body = await service.settled((await service.post([("One", service.picture())], **options))["request_id"])
    assert body["recipe"] == {**DEFAULT_RECIPE, "quality": 70, "format": "webp", "max_width": 40}


async def test_retry_after_stands_there_until_the_end(service: Stage) -> None:
    request_id, gate = await service.unfinished()
    async with service.session.get(f"/status/{request_id}") as response:
        assert int(response.headers["Retry-After"]) > 0
        body = await response.json()
    fits(body, STATUS_BODY)
    assert (body["status"], body["done"], body["finished_at"]) == ("processing", False, None)
    assert body["started_at"] is not None
    gate.set()
    await service.settled(request_id)
    async with service.session.get(f"/status/{request_id}") as response:
        assert "Retry-After" not in response.headers


async def test_all_who_wait_are_answered_by_the_end(service: Stage) -> None:
    request_id, gate = await service.unfinished()
    waiting = [asyncio.create_task(service.settled(request_id)) for _ in range(20)]
    await service.status(request_id)
    assert not any(task.done() for task in waiting)
    gate.set()
    assert {body["status"] for body in await asyncio.gather(*waiting)} == {"completed"}


@pytest.mark.parametrize(
    "preferences, applied",
    [
        (["respond-async, wait=1"], "wait=1"),
        (["respond-async", "wait=0"], "wait=0"),
        (["WAIT = 0; foo=bar"], "wait=0"),
        (['wait="0"'], "wait=0"),
    ],
)
async def test_wait_that_ends_before_the_request_says_how_it_stands(
    preferences: list[str], applied: str, service: Stage
) -> None:
    request_id, gate = await service.unfinished()
    headers = [("Prefer", value) for value in preferences]
    async with service.session.get(f"/status/{request_id}", headers=headers) as response:
        assert (response.status, response.headers["Preference-Applied"]) == (200, applied)
        assert "Retry-After" in response.headers
        assert not (await response.json())["done"]
    gate.set()


@pytest.mark.parametrize("value", ["wait=-1", "wait=1.5", "wait=", "respond-async", "wait=²"])
async def test_preference_that_is_none_is_passed_over(value: str, service: Stage, partial: str) -> None:
    async with service.session.get(f"/status/{partial}", headers={"Prefer": value}) as response:
        assert response.status == 200
        assert "Preference-Applied" not in response.headers


async def test_tag_changes_when_the_status_does_and_only_then(service: Stage) -> None:
    gate = asyncio.Event()
    held = service.picture(gate=gate)
    request_id, last = await service.unfinished(service.absent())
    other = (await service.post([("Other", held)]))["request_id"]

    async def tag() -> str:
        async with service.session.get(f"/status/{request_id}") as response:
            assert not response.headers["ETag"].startswith("W/")
            return response.headers["ETag"]

    first = await tag()
    gate.set()
    await service.settled(other)  # another's progress is none of ours
    assert await tag() == first
    last.set()
    await service.settled(request_id)
    final = await tag()
    assert final != first
    assert await tag() == final


@pytest.mark.parametrize(
    "value, status",
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"a,b" , W/"c",{tag}', 304),
        ("*", 304),
        ('"other"', 200),
        ('W/"other", "another"', 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_status_that_the_client_has_is_not_sent_again(
    method: str, value: str, status: int, service: Stage, partial: str
) -> None:
    async with service.session.get(f"/status/{partial}") as response:
        tag = response.headers["ETag"]
    headers = {"If-None-Match": value.format(tag=tag)}
    async with service.session.request(method, f"/status/{partial}", headers=headers) as response:
        assert response.status == status
        assert response.headers["ETag"] == tag
        assert bool(await response.read()) == (status == 200 and method == "GET")


async def test_wait_with_a_tag_is_a_long_poll(service: Stage) -> None:
    request_id, gate = await service.unfinished()
    async with service.session.get(f"/status/{request_id}") as response:
        tag = {"If-None-Match": response.headers["ETag"]}
    async with service.session.get(f"/status/{request_id}", headers=tag | {"Prefer": "wait=0"}) as response:
        assert response.status == 304
        assert "Retry-After" in response.headers
    waiting = asyncio.create_task(service.json(f"/status/{request_id}", headers=tag | {"Prefer": "wait=60"}))
    gate.set()
    assert (await waiting)["status"] == "completed"


async def test_head_has_the_headers_of_get_and_no_body(service: Stage, partial: str) -> None:
    async with service.session.get(f"/status/{partial}") as response:
        expected = {name: response.headers[name] for name in ("Content-Type", "Content-Length", "ETag")}
    async with service.session.head(f"/status/{partial}") as response:
        assert {name: response.headers[name] for name in expected} == expected
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize("name", [UNKNOWN, "x", "%20", "1%27", "status"])
async def test_unknown_request_is_a_problem(name: str, service: Stage) -> None:
    headers = await service.refused(404, "GET", f"/status/{name}", headers={"Prefer": "wait=60"})
    assert "Preference-Applied" not in headers


async def test_webhook_is_told_as_it_goes(service: Stage) -> None:
    async with Inbox() as inbox:
        url = inbox.url
        request_id, gate = await service.unfinished(webhook_url=url)
        before = (await service.status(request_id))["webhook"]
        assert before == {"url": url, "status": "pending", "attempts": 0}
        gate.set()
        await inbox.events()

        async def told() -> bool:
            return bool((await service.status(request_id))["webhook"]["status"] != "pending")

        await until(told)  # the receiver knows it before the service does
        after = (await service.status(request_id))["webhook"]
        assert after == {"url": url, "status": "delivered", "attempts": 1}
