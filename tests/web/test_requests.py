from collections.abc import Awaitable, Callable

import pytest

import photos
from origin import Answer, Origin
from service import SECRET, Client, Inbox, catalogue, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]


async def listed(
    client: Client, query: str = "", **headers: str
) -> tuple[list[dict[str, object]], str | None]:
    async with client.get(f"/requests{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        body = await response.json()
        assert body["has_more"] is (body["next"] is not None)
        return body["data"], body["next"]


async def test_requests_are_listed_newest_first_and_page_by_page(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    rows = [("One", origin.url("/a.jpg"))]
    ids = [(await upload(client, catalogue(rows)))["request_id"] for _ in range(5)]
    for request_id in ids:
        await settled(client, request_id)
    found, following = await listed(client)
    assert [body["request_id"] for body in found] == ids[::-1]
    assert following is None
    async with client.get(f"/status/{ids[0]}") as response:
        assert found[-1] == await response.json()
    first, following = await listed(client, "?limit=2")
    newer = (await upload(client, catalogue(rows)))["request_id"]  # shifts no page behind it
    second, following = await listed(client, f"?limit=2&after={following}")
    third, last = await listed(client, f"?limit=2&after={following}")
    assert [body["request_id"] for body in first + second + third] == ids[::-1]
    assert last is None
    await settled(client, newer)


async def test_requests_are_filtered_by_status(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    fine = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    bad = (await upload(client, catalogue([("One", origin.url("/none.jpg"))])))["request_id"]
    for request_id in (fine, bad):
        await settled(client, request_id)
    for status, expected in (("completed", [fine]), ("failed", [bad]), ("cancelled", [])):
        found, _ = await listed(client, f"?status={status}")
        assert [body["request_id"] for body in found] == expected


@pytest.mark.parametrize("query", ["?status=done", "?limit=0", "?limit=x", "?after=abc"])
async def test_query_that_cannot_be_is_refused(query: str, serve: Serve) -> None:
    client = await serve()
    async with client.get(f"/requests{query}") as response:
        await problem(response, 422)


async def test_listing_without_a_token_shows_no_webhook_url(serve: Serve, origin: Origin) -> None:
    client = await serve(webhook={"secret": SECRET})
    async with Inbox() as inbox:
        rows = [("One", origin.url("/none.jpg"))]
        url = f"{inbox.url}?key=of-this-client"
        request_id = (await upload(client, catalogue(rows), webhook_url=url))["request_id"]
        await settled(client, request_id)
        await inbox.events(1)
        async with client.get("/requests") as response:
            text = await response.text()
            assert "of-this-client" not in text
            assert inbox.url not in text
            assert (await response.json())["data"][0]["webhook"]["url"] is None


async def test_listing_with_a_token_shows_the_webhook_url(serve: Serve, origin: Origin) -> None:
    client = await serve(webhook={"secret": SECRET}, server={"api_tokens": ["t0ken"]})
    client.session.headers["Authorization"] = "Bearer t0ken"
    async with Inbox() as inbox:
        rows = [("One", origin.url("/none.jpg"))]
        request_id = (await upload(client, catalogue(rows), webhook_url=inbox.url))["request_id"]
        await settled(client, request_id)
        await inbox.events(1)
        async with client.get("/requests") as response:
            (body,) = (await response.json())["data"]
        assert body["webhook"]["url"] == inbox.url
