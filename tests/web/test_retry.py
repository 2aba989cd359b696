import asyncio
from collections.abc import Awaitable, Callable

import photos
from origin import Answer, Origin
from service import SECRET, Client, Inbox, catalogue, images, problem, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]


async def test_only_failed_images_are_tried_again(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    rows = [("One", origin.url("/a.jpg"), origin.url("/late.jpg")), ("Two", origin.url("/never.jpg"))]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    assert (await settled(client, request_id))["images"]["failed"] == 2
    origin.add("/late.jpg", Answer(body=photos.jpeg(seed=2)))
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
        body = await response.json()
        assert response.headers["Location"] == body["status_url"]
    assert (body["status"], body["done"], body["finished_at"]) == ("processing", False, None)
    assert body["images"]["completed"] == 1
    after = await settled(client, request_id)
    assert (after["status"], after["images"]["completed"], after["images"]["failed"]) == ("partial", 2, 1)
    assert (origin.hits["/a.jpg"], origin.hits["/late.jpg"], origin.hits["/never.jpg"]) == (1, 2, 2)
    first, second = (await result_rows(client, request_id))[1][3].split(",")
    assert first != second
    assert [image["attempts"] for image in await images(client, request_id)] == [1, 1, 1]


async def test_nothing_to_retry_is_a_conflict(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    request_id = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    await settled(client, request_id)
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert (await problem(response, 409))["type"] == "urn:resizer:problem:nothing-to-retry"
    async with client.post("/requests/nobody/retry") as response:
        await problem(response, 404)


async def test_failed_images_are_tried_again_while_others_are_under_way(serve: Serve, origin: Origin) -> None:
    client = await serve()
    gate = asyncio.Event()
    origin.add("/slow.jpg", Answer(body=photos.jpeg(), gate=gate))
    rows = [("One", origin.url("/late.jpg"), origin.url("/slow.jpg"))]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    while True:
        if await images(client, request_id, "?status=failed"):
            break
        await asyncio.sleep(0.01)
    origin.add("/late.jpg", Answer(body=photos.jpeg(seed=2)))
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
    gate.set()
    assert (await settled(client, request_id))["status"] == "completed"
    assert (origin.hits["/late.jpg"], origin.hits["/slow.jpg"]) == (2, 1)


async def test_each_end_is_an_event_of_its_own(serve: Serve, origin: Origin) -> None:
    client = await serve(webhook={"secret": SECRET})
    async with Inbox() as inbox:
        rows = [("One", origin.url("/late.jpg"))]
        request_id = (await upload(client, catalogue(rows), webhook_url=inbox.url))["request_id"]
        await settled(client, request_id)
        await inbox.events(1)
        origin.add("/late.jpg", Answer(body=photos.jpeg()))
        async with client.post(f"/requests/{request_id}/retry") as response:
            assert response.status == 202
        await settled(client, request_id)
        events = await inbox.events(2)
    assert [event["type"] for event in events] == ["request.completed", "request.failed"]
    assert len({event["webhook_id"] for event in events}) == 2
