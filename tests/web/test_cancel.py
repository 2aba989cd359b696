"""Cancelling a request: what waits is not begun, what is under way ends, what is done stays."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.test_utils import TestServer

import photos
from origin import Answer, Origin
from resizer.app import DATABASE
from service import SECRET, Client, Inbox, catalogue, images, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]


def application(client: Client) -> web.Application:
    server = client.server
    assert isinstance(server, TestServer)
    return server.app


async def begun(serve: Serve, origin: Origin, *, waiting: int, **options: str) -> tuple[Client, str]:
    """A request of which one image is done, one hangs, and so many wait behind it at the same host."""
    client = await serve(fetch={"per_host": 1, "timeout": 60}, webhook={"secret": SECRET})
    origin.add("/done.jpg", Answer(body=photos.jpeg()))
    origin.add("/hangs.jpg", Answer.hang())
    urls = [origin.url("/done.jpg"), origin.url("/hangs.jpg")]
    urls += [origin.url(f"/{number}.jpg") for number in range(waiting)]
    request_id = (await upload(client, catalogue([("One", *urls)]), **options))["request_id"]
    await origin.arrived("/hangs.jpg")
    while not await images(client, request_id, "?status=completed"):  # noqa: ASYNC110  another task does it
        await asyncio.sleep(0.01)
    return client, request_id


async def test_what_waits_and_what_is_under_way_is_cancelled(serve: Serve, origin: Origin) -> None:
    async with Inbox() as inbox:
        client, request_id = await begun(serve, origin, waiting=500, webhook_url=inbox.url)
        async with client.post(f"/requests/{request_id}/cancel") as response:
            assert response.status == 202
            body = await response.json()
            assert response.headers["Location"] == body["status_url"]
        assert (body["status"], body["done"]) == ("cancelled", True)
        assert body["images"] == {"total": 502, "pending": 0, "completed": 1, "failed": 0, "cancelled": 501}
        # and nothing goes on behind its back
        assert (await settled(client, request_id)) | {"webhook": None} == body | {"webhook": None}
        (event,) = await inbox.events()
        assert event["type"] == "request.cancelled"
    assert sum(origin.hits.values()) == 2
    slots = (await result_rows(client, request_id))[1][3].split(",")
    assert [bool(slot) for slot in slots] == [True] + [False] * 501
    cancelled = await images(client, request_id, "?status=cancelled&limit=1000")
    assert {(image["output_url"], image["error"]) for image in cancelled} == {(None, None)}


async def test_what_was_cancelled_can_be_tried_again(serve: Serve, origin: Origin) -> None:
    client, request_id = await begun(serve, origin, waiting=3)
    async with client.post(f"/requests/{request_id}/cancel") as response:
        assert response.status == 202
    for name in ("/hangs.jpg", "/0.jpg", "/1.jpg", "/2.jpg"):
        origin.add(name, Answer(body=photos.jpeg(seed=2)))
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
    status = await settled(client, request_id)
    assert (status["status"], status["images"]["completed"]) == ("completed", 5)
    assert origin.hits["/done.jpg"] == 1


async def test_a_host_that_another_request_waits_for_is_free_again(serve: Serve, origin: Origin) -> None:
    client, request_id = await begun(serve, origin, waiting=50)
    other = (await upload(client, catalogue([("One", origin.add("/b.jpg", Answer(body=photos.jpeg())))])))[
        "request_id"
    ]
    async with client.post(f"/requests/{request_id}/cancel") as response:
        assert response.status == 202
    assert (await settled(client, other))["status"] == "completed"


async def test_cancelling_goes_on_after_a_crash(serve: Serve, origin: Origin) -> None:
    """Noted is the client's word, before any image is cancelled."""
    client, request_id = await begun(serve, origin, waiting=3)
    async with client.post(f"/requests/{request_id}/cancel") as response:
        assert response.status == 202
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
    await origin.arrived("/hangs.jpg", 2)
    database = application(client)[DATABASE]
    batch = await database.batch(request_id)
    assert batch is not None
    assert await database.outcomes.begin_cancel(batch.id)
    await client.close()  # nobody has come to cancel the images

    again = await serve()
    status = await settled(again, request_id)
    assert (status["status"], status["images"]["pending"]) == ("cancelled", 0)


async def test_a_request_cancelled_and_tried_again_at_once_ends_all_the_same(
    serve: Serve, origin: Origin
) -> None:
    client, request_id = await begun(serve, origin, waiting=3)

    async def post(what: str) -> int:
        async with client.post(f"/requests/{request_id}/{what}") as response:
            return response.status

    origin.add("/hangs.jpg", Answer(body=photos.jpeg(seed=2)))
    for _ in range(3):
        statuses = await asyncio.gather(post("cancel"), post("retry"))
        assert set(statuses) <= {202, 409}
        assert (await settled(client, request_id))["images"]["pending"] == 0


async def test_a_request_deleted_and_tried_again_at_once_is_gone(serve: Serve, origin: Origin) -> None:
    client, request_id = await begun(serve, origin, waiting=3)

    async def call(method: str, path: str) -> int:
        async with client.request(method, f"/requests/{request_id}{path}") as response:
            return response.status

    deleted, *retried = await asyncio.gather(call("DELETE", ""), *[call("POST", "/retry") for _ in range(3)])
    assert deleted == 204
    assert set(retried) <= {202, 404, 409}
    assert await call("POST", "/retry") == 404
