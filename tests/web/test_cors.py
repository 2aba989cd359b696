"""Pages of the origins that are listed may call the API from a browser; those of others may not."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from resizer.config import check_exposure, load_settings
from resizer.errors import ConfigError
from service import Client, catalogue, images, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]
SHOP = "https://shop.example"
ASKED = {"Origin": SHOP, "Access-Control-Request-Method": "GET"}


def told(response: aiohttp.ClientResponse) -> set[str]:
    """Names of the headers that concern other origins."""
    return {name for name in response.headers if name.startswith("Access-Control-")}


def varies(response: aiohttp.ClientResponse) -> set[str]:
    return {each.strip() for each in ",".join(response.headers.getall("Vary", ())).split(",")} - {""}


@pytest.fixture
def shop(serve: Serve) -> Callable[..., Awaitable[Client]]:
    async def start(**server: Any) -> Client:
        return await serve(server={"cors_origins": [SHOP, "http://localhost:3000"], **server})

    return start


async def test_without_origins_no_answer_tells_of_them(serve: Serve) -> None:
    client = await serve()
    for method in ("GET", "OPTIONS", "PUT"):
        async with client.request(method, "/ping", headers=ASKED) as response:
            assert not told(response)
            assert "Vary" not in response.headers


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
async def test_listed_origin_may_read_an_answer(origin: str, shop: Serve) -> None:
    client = await shop()
    async with client.get("/ping", headers={"Origin": origin}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == origin
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Location", "Retry-After", "ETag", "Preference-Applied", "Content-Disposition"} <= set(
            exposed
        )
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert varies(response) == {"Origin"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evil-shop.example",
        "https://sub.shop.example",
        "https://shop.example/",
        "null",
        "*",
        "",
        f"{SHOP}, https://evil.example",
    ],
)
async def test_other_origin_is_told_nothing(origin: str, shop: Serve) -> None:
    client = await shop()
    for method in ("GET", "OPTIONS"):
        async with client.request(method, "/ping", headers={**ASKED, "Origin": origin}) as response:
            assert not told(response)
            assert varies(response) == {"Origin"}  # a cache keeps the answers apart


async def test_two_origins_are_none(shop: Serve) -> None:
    client = await shop()
    async with client.get("/ping", headers=[("Origin", SHOP), ("Origin", SHOP)]) as response:
        assert not told(response)


@pytest.mark.parametrize(
    "path, methods",
    [
        ("/upload", {"POST", "OPTIONS"}),
        ("/status/x", {"GET", "HEAD", "OPTIONS"}),
        ("/requests/x", {"DELETE", "OPTIONS"}),
        ("/compressed/x", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_preflight_is_answered_without_a_token(path: str, methods: set[str], shop: Serve) -> None:
    client = await shop(api_tokens=["secret"])
    wanted = (
        "authorization, content-type, idempotency-key, prefer, if-none-match, if-range, range, last-event-id"
    )
    headers = {**ASKED, "Access-Control-Request-Headers": wanted}
    async with client.options(path, headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) == methods
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(wanted.split(", ")) <= set(allowed)
        assert 0 < int(response.headers["Access-Control-Max-Age"]) <= 7200
        assert varies(response) == {"Origin"}
        assert not await response.read()


async def test_preflight_of_another_origin_and_other_options_want_a_token(shop: Serve) -> None:
    client = await shop(api_tokens=["secret"])
    for headers in ({**ASKED, "Origin": "https://evil.example"}, {"Origin": SHOP}, {}):
        async with client.options("/requests", headers=headers) as response:
            await problem(response, 401)


async def test_preflight_opens_no_other_method(shop: Serve) -> None:
    client = await shop(api_tokens=["secret"])
    async with client.get("/requests", headers=ASKED) as response:
        await problem(response, 401)


async def test_preflight_of_an_unknown_path_is_not_found(shop: Serve) -> None:
    client = await shop()
    async with client.options("/nowhere", headers=ASKED) as response:
        await problem(response, 404)


async def test_every_kind_of_answer_can_be_read(
    shop: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams, files, parts of files, 304 and every error, which a page could otherwise not tell apart."""
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await shop()
    request_id = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    await settled(client, request_id)
    image = "/compressed/" + (await images(client, request_id))[0]["output_url"].rpartition("/")[2]
    async with client.get(f"/status/{request_id}") as response:
        known = response.headers["ETag"]
    calls: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", f"/status/{request_id}", {}, 200),
        ("GET", f"/status/{request_id}", {"Prefer": "wait=1"}, 200),
        ("GET", f"/status/{request_id}", {"If-None-Match": known}, 304),
        ("GET", f"/result/{request_id}", {}, 200),
        ("GET", f"/requests/{request_id}/archive", {}, 200),
        ("GET", f"/requests/{request_id}/events", {}, 200),
        ("GET", image, {}, 200),
        ("GET", image, {"Range": "bytes=0-9"}, 206),
        ("GET", image, {"Range": "bytes=99999999-"}, 416),
        ("GET", image, {"If-None-Match": "*"}, 304),
        ("GET", "/requests?limit=x", {}, 422),
        ("GET", "/status/x", {}, 404),
        ("GET", "/nowhere", {}, 404),
        ("PUT", "/ping", {}, 405),
        ("POST", "/upload", {"Content-Type": "text/plain"}, 415),
        ("POST", "/upload", {"Expect": "the-impossible"}, 417),
        ("HEAD", "/ping", {}, 200),
    ]
    for method, path, headers, status in calls:
        async with client.request(method, path, headers={"Origin": SHOP, **headers}) as response:
            assert (method, path, response.status) == (method, path, status)
            assert response.headers["Access-Control-Allow-Origin"] == SHOP
            assert "Origin" in varies(response)
            await response.read()
    async with client.get(f"/status/{request_id}", headers={"Prefer": "wait=1"}) as response:
        assert varies(response) == {"Prefer", "Origin"}

    async def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("resizer.pipeline.requests.Requests.newest", fails)
    async with client.get("/requests", headers={"Origin": SHOP}) as response:
        await problem(response, 500)
        assert response.headers["Access-Control-Allow-Origin"] == SHOP


async def test_answer_401_can_be_read(shop: Serve) -> None:
    client = await shop(api_tokens=["secret"])
    async with client.get("/requests", headers={"Origin": SHOP}) as response:
        await problem(response, 401)
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]


async def test_every_origin_is_allowed_only_where_that_is_said(serve: Serve) -> None:
    client = await serve(server={"cors_origins": ["*"], "api_tokens": ["secret"]})
    async with client.get("/ping", headers={"Origin": "https://any.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Vary" not in response.headers
    async with client.options("/upload", headers=ASKED) as response:
        assert response.status == 204


@pytest.mark.parametrize(
    "written, sent",
    [
        ("https://Shop.Example", SHOP),
        ("https://shop.example:443", SHOP),
        ("https://shop.example/", SHOP),
        ("HTTP://localhost:80", "http://localhost"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("*", "*"),
    ],
)
def test_origin_is_kept_as_browsers_send_it(written: str, sent: str) -> None:
    settings = load_settings(None, {"server": {"cors_origins": [written]}})
    assert settings.server.cors_origins == (sent,)


@pytest.mark.parametrize(
    "written",
    [
        ["https://shop.example/page"],
        ["https://shop.example?x=1"],
        ["https://user@shop.example"],
        ["shop.example"],
        ["ftp://shop.example"],
        ["https://"],
        ["null"],
        [""],
        ["https://*.shop.example"],
        ["*", SHOP],
    ],
)
def test_what_is_no_origin_is_refused(written: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"server": {"cors_origins": written}})
    assert {each.key.partition("[")[0] for each in caught.value.wrong} == {"server.cors_origins"}


def test_every_origin_is_refused_where_there_is_no_login() -> None:
    every = {"cors_origins": ["*"]}
    with pytest.raises(ConfigError, match=r"server\.cors_origins"):
        check_exposure(load_settings(None, {"server": every}).server)
    check_exposure(load_settings(None, {"server": {**every, "api_tokens": ["secret"]}}).server)
    check_exposure(load_settings(None, {"server": {**every, "allow_anonymous": True}}).server)
