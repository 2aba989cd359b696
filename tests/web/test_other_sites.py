"""A page in the user's own browser gets nothing out of the service and changes nothing in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from resizer.app import create_app
from service import (
    LOOPBACK,
    Client,
    Serve,
    catalogue,
    form,
    images,
    problem,
    settings_for,
    upload,
)
from service import settled as end_of
from wire import Wire, listening

EVIL = "https://evil.example"
NAME = "shop.example"
REBOUND = {"Host": "evil.example:8080"}
CSV = catalogue([("One", "http://127.0.0.1:1/a.jpg")])


async def send(client: Client, **headers: str) -> aiohttp.ClientResponse:
    """Upload as a form does, which needs no preflight."""
    return await client.post("/upload", data=form(CSV), headers=headers)


async def requests_of(client: Client) -> list[Any]:
    async with client.get("/requests") as response:
        found: list[Any] = (await response.json())["data"]
        return found


async def test_no_path_answers_for_another_host(serve: Serve) -> None:
    """Neither with the content that it has nor with an error of its own."""
    client = await serve(server={"api_tokens": ["secret"], "cors_origins": [EVIL]})
    for route in client.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{", "").replace("}", "")
        for method in {route.method, "OPTIONS", "PUT"}:
            async with client.request(method, path, headers=REBOUND) as response:
                if method == "HEAD":
                    assert response.status == 421
                else:
                    told = await problem(response, 421)
                    assert told["type"] == "urn:resizer:problem:host-not-allowed"
                    assert "evil.example" in told["detail"]
                    assert "server.allowed_hosts" in told["detail"]
    async with client.get("/nowhere", headers=REBOUND) as response:
        await problem(response, 421)
    async with client.options("/upload", headers={**REBOUND, "Origin": EVIL}) as response:
        await problem(response, 421)


async def test_rebound_name_reads_uploads_and_deletes_nothing(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    request_id = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    await end_of(client, request_id)
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example:8080", **REBOUND}
    async with client.get("/requests", headers=own) as response:
        await problem(response, 421)
    async with client.delete(f"/requests/{request_id}", headers=own) as response:
        await problem(response, 421)
    async with await send(client, **own) as response:
        await problem(response, 421)
    assert [each["request_id"] for each in await requests_of(client)] == [request_id]


async def test_hosts_of_the_configuration_are_answered(serve: Serve) -> None:
    client = await serve(server={"public_url": "https://images.example/x", "allowed_hosts": [NAME]})
    for host in ("images.example", f"{NAME}:1", "localhost", "127.0.0.1"):
        async with client.get("/requests", headers={"Host": host}) as response:
            assert response.status == 200, host


@asynccontextmanager
async def wire(folder: Path, **server: Any) -> AsyncIterator[Wire]:
    app = create_app(settings_for(folder, server=server))
    async with listening(app) as port, await Wire.to(port) as opened:
        yield opened


@pytest.mark.parametrize(
    "request_line, status",
    [
        ("GET http://evil.example/ping HTTP/1.1", 421),
        ("GET http://localhost@evil.example/ping HTTP/1.1", 421),
        ("GET http://localhost/ping HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 404),
        ("CONNECT evil.example:80 HTTP/1.1", 421),
    ],
)
async def test_host_in_the_request_line_is_the_one(request_line: str, status: int, tmp_path: Path) -> None:
    async with wire(tmp_path) as opened:
        await opened.send(f"{request_line}\r\nHost: localhost\r\n\r\n".encode())
        assert (await opened.reply()).status == status


@pytest.mark.parametrize(
    "fields", ["", "Host: localhost\r\nHost: localhost\r\n", "Host: \r\n", "Host: a,b\r\n", "Host: a b\r\n"]
)
async def test_http_1_1_needs_one_host(fields: str, tmp_path: Path) -> None:
    async with wire(tmp_path) as opened:
        await opened.send(f"GET /ping HTTP/1.1\r\n{fields}\r\n".encode())
        (await opened.reply()).problem(400)


async def test_without_a_host_links_are_of_the_address_listened_on(tmp_path: Path) -> None:
    async with wire(tmp_path) as opened:
        own = "{}:{}".format(*opened.writer.get_extra_info("peername"))
        head = f"POST /upload HTTP/1.0\r\nContent-Type: text/csv\r\nContent-Length: {len(CSV)}\r\n\r\n"
        await opened.send(head.encode() + CSV)
        reply = await opened.reply()
    assert reply.status == 202
    assert reply.headers["location"].startswith(f"http://{own}/status/")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_page_of_another_origin_changes_nothing(
    method: str, headers: dict[str, str], serve: Serve
) -> None:
    client = await serve(server={"cors_origins": ["https://shop.example"]})
    for path in ("/upload", "/requests/x", "/requests/x/cancel", "/requests/x/deliveries", "/nowhere"):
        async with client.request(method, path, data=form(CSV), headers=headers) as response:
            told = await problem(response, 403)
            assert told["type"] == "urn:resizer:problem:cross-origin"
            assert "server.cors_origins" in told["detail"]
    assert await requests_of(client) == []


async def test_page_of_another_origin_is_refused_before_its_body(tmp_path: Path) -> None:
    async with wire(tmp_path) as opened:
        await opened.send(
            f"POST /upload HTTP/1.1\r\nHost: localhost\r\nOrigin: {EVIL}\r\nContent-Type: text/csv\r\n"
            "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        (await opened.reply()).problem(403)


@pytest.mark.parametrize(
    "listed, headers",
    [
        ([], {}),
        ([], {"Sec-Fetch-Site": "same-origin"}),
        ([], {"Sec-Fetch-Site": "none"}),
        ([], {"Origin": f"http://{NAME}:8080", "Host": f"{NAME}:8080"}),
        ([EVIL], {"Origin": EVIL}),
        ([EVIL], {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}),
        (["*"], {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
    ],
    ids=str,
)
async def test_own_pages_programs_and_listed_origins_upload(
    listed: list[str], headers: dict[str, str], serve: Serve
) -> None:
    client = await serve(server={"cors_origins": listed, "allowed_hosts": [NAME]})
    async with await send(client, **headers) as response:
        assert response.status == 202


@pytest.mark.parametrize("trusted", [True, False])
async def test_page_behind_a_proxy_is_the_services_own(trusted: bool, serve: Serve) -> None:
    client = await serve(server={"trusted_proxies": LOOPBACK if trusted else []})
    async with await send(client, **{"Origin": f"https://{NAME}", "X-Forwarded-Host": NAME}) as response:
        assert response.status == (202 if trusted else 403)
    # its word is taken for the links, but it is not the Host
    async with await send(client, **REBOUND, **{"X-Forwarded-Host": "localhost"}) as response:
        await problem(response, 421)


async def test_page_of_the_public_url_is_the_services_own(serve: Serve) -> None:
    client = await serve(server={"public_url": "https://images.example"})
    for origin, status in (
        ("https://images.example", 202),
        ("http://images.example", 403),
        ("https://images.example:8443", 403),
    ):
        async with await send(client, Origin=origin) as response:
            assert response.status == status, origin


async def test_reading_needs_no_origin(serve: Serve) -> None:
    """What a page of another origin may not read, its browser keeps from it."""
    client = await serve()
    headers = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
    for method in ("GET", "HEAD", "OPTIONS"):
        async with client.request(method, "/ping", headers=headers) as response:
            assert response.status < 300
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_server_is_named_without_versions(serve: Serve, origin: Origin, tmp_path: Path) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    request_id = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    await end_of(client, request_id)
    image = "/compressed/" + (await images(client, request_id))[0]["output_url"].rpartition("/")[2]
    paths = ("/", "/ping", "/nowhere", "/docs", image)
    calls: list[tuple[str, str, dict[str, str]]] = [("GET", path, {}) for path in paths]
    calls += [("GET", f"/requests/{request_id}/{each}", {}) for each in ("events", "archive")]
    calls += [("GET", "/ping", REBOUND), ("PUT", "/ping", {}), ("POST", "/upload", {"Expect": "x"})]
    for method, path, headers in calls:
        async with client.request(method, path, headers=headers) as response:
            assert response.headers["Server"] == "resizer", path
    async with wire(tmp_path / "wire") as opened:
        await opened.send(b"nonsense\r\n\r\n")
        assert (await opened.reply()).headers["server"] == "resizer"


async def test_nothing_runs_in_what_is_below_compressed(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    request_id = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    await end_of(client, request_id)
    image = "/compressed/" + (await images(client, request_id))[0]["output_url"].rpartition("/")[2]
    calls: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", image, {}, 200),
        ("HEAD", image, {}, 200),
        ("GET", image, {"Range": "bytes=0-9"}, 206),
        ("GET", image, {"If-None-Match": "*"}, 304),
        ("GET", image, {"Range": "bytes=99999999-"}, 416),
        ("GET", "/compressed/x.svg", {}, 404),
        ("PUT", image, {}, 405),
        ("GET", image, REBOUND, 421),
    ]
    for method, path, headers, status in calls:
        async with client.request(method, path, headers=headers) as response:
            assert (method, path, response.status) == (method, path, status)
            assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
