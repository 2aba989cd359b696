"""The lists of requests, images and deliveries are as in docs/api.md."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from acceptance import (
    DELIVERY_BODY,
    IMAGE_BODY,
    STATUS_BODY,
    UNKNOWN,
    Each,
    Json,
    Maybe,
    Stage,
    fits,
    stage,
    until,
)

from service import SECRET, Inbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: ends at once, without a host
NONSENSE = "nonsense://example.com/a.jpg"


def page_of(body: Any) -> dict[str, Any]:
    return {"data": Each(body), "has_more": bool, "next": Maybe(str)}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("data"), webhook={"secret": SECRET}) as opened:
        yield opened


async def walk(service: Stage, path: str, body: Any, **query: str) -> AsyncIterator[list[Json]]:
    """Yield page after page."""
    while True:
        async with service.session.get(path, params=query) as response:
            assert response.status == 200, await response.text()
            page = await response.json()
        fits(page, page_of(body))
        assert page["has_more"] == (page["next"] is not None)
        yield page["data"]
        if not page["has_more"]:
            return
        query["after"] = page["next"]


async def test_requests_come_newest_first_while_others_are_added(service: Stage) -> None:
    ids = [await service.finished([("One", NONSENSE)]) for _ in range(5)]
    seen: list[Json] = []
    async for page in walk(service, "/requests", STATUS_BODY, limit="2"):
        assert len(page) <= 2
        seen += page
        await service.finished([("New", NONSENSE)])
    listed = [body["request_id"] for body in seen]
    assert listed[:5] == ids[::-1]
    assert len(listed) == len(set(listed))
    for body in seen[:2]:
        assert body == await service.status(body["request_id"])


async def test_filter_and_cursor_work_together_while_others_are_added(service: Stage) -> None:
    wanted = [await service.finished([("One", service.picture())]) for _ in range(3)]
    await service.finished([("One", NONSENSE)])
    seen: list[str] = []
    async for page in walk(service, "/requests", STATUS_BODY, limit="1", status="completed"):
        assert {body["status"] for body in page} == {"completed"}
        seen += [body["request_id"] for body in page]
        await service.finished([("One", service.picture()), ("Two", NONSENSE)])
    assert seen[:3] == wanted[::-1]
    assert len(seen) == len(set(seen))


async def test_running_request_is_listed_by_its_status(service: Stage) -> None:
    request_id, gate = await service.unfinished()
    (running,) = (await service.json("/requests?status=processing"))["data"]
    assert (running["request_id"], running["done"]) == (request_id, False)
    gate.set()
    await service.settled(request_id)
    assert (await service.json("/requests?status=processing"))["data"] == []


async def test_page_has_twenty_requests_unless_asked_and_never_more_than_a_hundred(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with stage(tmp_path_factory.mktemp("many")) as service:
        empty = await service.json("/requests")
        assert empty == {"data": [], "has_more": False, "next": None}
        await asyncio.gather(*(service.post([("One", NONSENSE)]) for _ in range(102)))
        assert len((await service.json("/requests"))["data"]) == 20
        hundred = await service.json("/requests?limit=100")
        assert (len(hundred["data"]), hundred["has_more"]) == (100, True)
        rest = await service.json(f"/requests?limit=2&after={hundred['next']}")
        assert (len(rest["data"]), rest["has_more"], rest["next"]) == (2, False, None)
        # more is refused, or answered with a hundred
        async with service.session.get("/requests?limit=101") as response:
            if response.status == 200:
                assert len((await response.json())["data"]) == 100
            else:
                assert response.status in {400, 422}


async def test_images_come_in_the_order_of_the_csv_page_by_page(service: Stage) -> None:
    urls = [service.picture() if number % 3 else f"{NONSENSE}?{number}" for number in range(9)]
    rows = [("One", *urls[:4]), ("Two",), ("Three", *urls[4:])]
    request_id = await service.finished(rows)
    path = f"/requests/{request_id}/images"
    for limit in ("1", "3", "9", "10"):
        pages = [page async for page in walk(service, path, IMAGE_BODY, limit=limit)]
        assert [image["input_url"] for page in pages for image in page] == urls
        assert len(pages) == -(-len(urls) // int(limit))  # no page is empty
    failed = [page async for page in walk(service, path, IMAGE_BODY, limit="2", status="failed")]
    assert [image["input_url"] for page in failed for image in page] == urls[::3]
    assert await service.images(request_id, "?status=cancelled") == []
    assert len(await service.images(request_id)) == 9


async def test_images_of_a_running_request_are_listed_as_they_stand(service: Stage) -> None:
    request_id, gate = await service.unfinished(service.picture(), service.absent())
    found = await service.images(request_id)
    for image in found:
        fits(image, IMAGE_BODY)
    assert [image["status"] for image in found] == ["completed", "failed", "pending"]
    assert (found[2]["output_url"], found[2]["error"]) == (None, None)
    assert [image["position"] for image in await service.images(request_id, "?status=pending")] == [3]
    gate.set()


@pytest.mark.parametrize("query", ["status=done", "limit=0", "limit=-1", "limit=ten", "after=x", "after=%00"])
@pytest.mark.parametrize("path", ["/requests", "/requests/{}/images"])
async def test_query_that_cannot_be_is_refused(path: str, query: str, service: Stage) -> None:
    request_id = await service.finished([("One", NONSENSE)])
    await service.refused(422, "GET", f"{path.format(request_id)}?{query}")


@pytest.mark.parametrize("part", ["images", "deliveries"])
async def test_list_of_an_unknown_request_is_a_problem(part: str, service: Stage) -> None:
    await service.refused(404, "GET", f"/requests/{UNKNOWN}/{part}")


async def test_request_without_a_webhook_has_no_deliveries(service: Stage) -> None:
    request_id = await service.finished([("One", NONSENSE)])
    assert await service.json(f"/requests/{request_id}/deliveries") == {"data": []}


async def test_delivery_lists_every_try_with_each_field(service: Stage) -> None:
    async with Inbox() as inbox:
        request_id = await service.finished([("One", NONSENSE)], webhook_url=inbox.url)
        (event,) = await inbox.events()

        async def delivered() -> bool:
            return [each["status"] for each in await service.deliveries(request_id)] == ["delivered"]

        await until(delivered)
        body = await service.json(f"/requests/{request_id}/deliveries")
        fits(body, {"data": Each(DELIVERY_BODY)})
        (delivery,) = body["data"]
        assert (delivery["webhook_id"], delivery["url"]) == (event["webhook_id"], inbox.url)
        assert delivery["next_attempt_at"] is None
        (attempt,) = delivery["attempts"]
        assert (attempt["http_status"], attempt["error"]) == (204, None)


async def test_delivery_that_is_tried_again_says_when(service: Stage) -> None:
    url = service.absent()  # answers 404 to the event
    request_id = await service.finished([("One", NONSENSE)], webhook_url=url)

    async def given_up() -> bool:
        (delivery,) = await service.deliveries(request_id)
        fits(delivery, DELIVERY_BODY)
        assert (delivery["status"] == "pending") == (delivery["next_attempt_at"] is not None)
        return bool(delivery["status"] == "failed")

    await until(given_up)
    (delivery,) = await service.deliveries(request_id)
    assert [attempt["http_status"] for attempt in delivery["attempts"]] == [404, 404, 404]
    assert (await service.status(request_id))["webhook"] == {"url": url, "status": "failed", "attempts": 3}
