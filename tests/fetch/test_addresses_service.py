"""No image, no redirect and no webhook of a client's reaches what is inside, through the whole service."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from inward import LOOPBACK_SPELLINGS, NO_ADDRESS, SPECIAL, Canary, Names, edges
from origin import Answer, Origin
from service import Client, catalogue, images, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]

#: stands for the public addresses; the canary is on others
OUTSIDE = "127.0.0.2"
SETTINGS: dict[str, Any] = {
    "fetch": {"allow_networks": [f"{OUTSIDE}/32"], "retries": 0},
    "webhook": {"allow_networks": [f"{OUTSIDE}/32"], "schedule": [0]},
}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    world = Names()
    monkeypatch.setattr(socket, "getaddrinfo", world.getaddrinfo)
    # each connection asks anew, as after the ten seconds for which answers are kept
    monkeypatch.setattr("aiohttp.connector._DNSCacheTable.expired", lambda *_: True)
    return world


@pytest.fixture
async def outside() -> AsyncIterator[Origin]:
    async with Origin(host=OUTSIDE) as origin:
        yield origin


@pytest.fixture
async def canary(outside: Origin) -> AsyncIterator[Canary]:
    """On the port of the host outside, so that a name that is bound anew leads to it."""
    async with Canary(port=outside.port) as listening:
        yield listening
        assert listening.reached == 0


def inward_urls(port: int, names: Names) -> list[str]:
    """Every spelling, and a name for each edge of each range."""
    spelled = [
        f"{scheme}://{host}:{port}/canary" for host in LOOPBACK_SPELLINGS for scheme in ("http", "https")
    ]
    addresses = dict.fromkeys(address for network in SPECIAL for address in edges(network))
    named = [
        f"http://{names.add(f'inward{number}.example', [address])}:{port}/canary"
        for number, address in enumerate(addresses)
    ]
    return [*spelled, *named]


async def test_no_image_and_no_redirect_reaches_inside(
    serve: Serve, outside: Origin, canary: Canary, names: Names
) -> None:
    blocked = inward_urls(canary.port, names)
    vague = [f"http://{host}:{canary.port}/canary" for host in NO_ADDRESS if "://" not in host]
    redirects = [
        outside.add(f"to/{number}", Answer.redirect(url)) for number, url in enumerate([*blocked, *vague])
    ]
    fine = outside.add("fine", Answer(status=404))
    client = await serve(**SETTINGS)
    accepted = await upload(client, catalogue([("A", url) for url in [*blocked, *vague, *redirects, fine]]))
    await settled(client, accepted["request_id"])

    found: list[dict[str, Any]] = []
    after = ""
    while True:
        async with client.get(f"/requests/{accepted['request_id']}/images?limit=100{after}") as response:
            page = await response.json()
        found += page["data"]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"

    codes = [image["error"]["code"] for image in found]
    assert len(codes) == 2 * len(blocked) + 2 * len(vague) + 1
    certain = found[: len(blocked)] + found[len(blocked) + len(vague) : 2 * len(blocked) + len(vague)]
    assert [image["input_url"] for image in certain if image["error"]["code"] != "blocked_address"] == []
    assert set(codes[:-1]) == {"blocked_address", "invalid_url", "dns"}
    assert codes[-1] == "http_status"  # the world outside is there
    assert all(image["attempts"] <= 1 for image in found)
    assert sum(outside.hits.values()) == len(redirects) + 1
    assert canary.reached == 0


async def test_name_bound_anew_between_tries_and_redirects_is_not_followed(
    serve: Serve, outside: Origin, canary: Canary, names: Names
) -> None:
    again = names.add("again.example", [OUTSIDE], ["127.0.0.1"])
    moved = names.add("moved.example", [OUTSIDE], ["::1", "127.0.0.1"])
    outside.add("again", Answer(status=503, close=True))
    outside.add("moved", Answer(status=302, headers={"Location": "/inside"}, close=True))
    client = await serve(**SETTINGS | {"fetch": {**SETTINGS["fetch"], "retries": 3}})
    urls = [outside.url("again", host=again), outside.url("moved", host=moved)]
    accepted = await upload(client, catalogue([("A", url) for url in urls]))
    await settled(client, accepted["request_id"])
    for image, attempts in zip(await images(client, accepted["request_id"]), (2, 1), strict=True):
        assert (image["error"]["code"], image["attempts"]) == ("blocked_address", attempts)
    assert outside.hits == Counter({"/again": 1, "/moved": 1})
    assert canary.reached == 0


async def test_no_webhook_reaches_inside(serve: Serve, canary: Canary, names: Names) -> None:
    client = await serve(**SETTINGS)
    assert names.asked == []
    urls = [f"http://{host}:{canary.port}/canary" for host in (*LOOPBACK_SPELLINGS, *NO_ADDRESS)]
    asked: list[tuple[str, str]] = []
    for url in urls:
        data = aiohttp.FormData(quote_fields=False)
        data.add_field("webhook_url", url)
        data.add_field(
            "file", catalogue([("A", "ftp://nothing/")]), filename="a.csv", content_type="text/csv"
        )
        async with client.post("/upload", data=data) as response:
            if response.status != 202:
                await problem(response, 422)
                continue
            asked.append((url, (await response.json())["request_id"]))
    assert len(asked) >= len(LOOPBACK_SPELLINGS)
    for url, request_id in asked:
        delivery: dict[str, Any] = {"status": "pending"}
        while delivery["status"] == "pending":
            await asyncio.sleep(0.01)
            async with client.get(f"/requests/{request_id}/deliveries") as response:
                (delivery,) = (await response.json())["data"] or [delivery]
        assert delivery["status"] == "failed", url
        (attempt,) = delivery["attempts"]
        assert attempt["http_status"] is None
        if url in urls[: len(LOOPBACK_SPELLINGS)]:
            assert "add its network to webhook.allow_networks" in attempt["error"], url
    assert canary.reached == 0


async def test_webhook_bound_anew_between_tries_is_not_sent_inside(
    serve: Serve, outside: Origin, canary: Canary, names: Names
) -> None:
    name = names.add("hook.example", [OUTSIDE], ["127.0.0.1"], ["::1"])
    outside.add("hook", Answer(status=500, close=True))
    client = await serve(**SETTINGS | {"webhook": {**SETTINGS["webhook"], "schedule": [0, 0, 0]}})
    hook = outside.url("hook", host=name)
    accepted = await upload(client, catalogue([("A", outside.url("missing"))]), webhook_url=hook)
    delivery: dict[str, Any] = {"status": "pending"}
    while delivery["status"] == "pending":
        await asyncio.sleep(0.01)
        async with client.get(f"/requests/{accepted['request_id']}/deliveries") as response:
            (delivery,) = (await response.json())["data"] or [delivery]
    assert [attempt["http_status"] for attempt in delivery["attempts"]] == [500, None, None]
    assert outside.hits["/hook"] == 1
    assert canary.reached == 0
