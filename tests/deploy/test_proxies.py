"""A proxy before the service: what it lets pass, what it passes on, and when."""

import asyncio
import io
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from programs import DEPLOY, PATIENCE, output_of, program
from proxies import CADDY, NAME, NGINX, SMALL_UPLOAD, Start, caddy, caddy_environment, nginx, nginx_files

import photos
from origin import Answer, Origin
from resizer.config import Settings
from scrape import scrape
from service import HEADER, LOOPBACK, Client, catalogue, form, problem

#: seconds of `Prefer: wait`
LONGEST_WAIT = 60

Serve = Callable[..., Awaitable[Client]]
both = pytest.mark.parametrize("start", [nginx, caddy])


@pytest.fixture
async def service(serve: Serve) -> Client:
    server = {"trusted_proxies": LOOPBACK, "allowed_hosts": [NAME], "max_upload_size": SMALL_UPLOAD}
    return await serve(server=server)


def port_of(service: Client) -> int:
    port = service.server.port
    assert port is not None
    return port


def of_size(size: int, url: str) -> bytes:
    """A catalogue of so many bytes, with one image."""
    row = f"1,A,{url}\r\n"
    line = "{},{},\r\n".format(2, "x" * 995)
    text = f"{HEADER}\r\n{row}"
    text += line * ((size - len(text)) // len(line))
    left = size - len(text)
    return (text if left < 10 else f"{text}3,{'y' * (left - 5)},\r\n").encode()


async def accepted(session: aiohttp.ClientSession, data: bytes) -> dict[str, Any]:
    async with session.post("/upload", data=form(data)) as response:
        assert response.status == 202, await response.text()
        body: dict[str, Any] = await response.json()
        return body


async def settled(session: aiohttp.ClientSession, request_id: str) -> dict[str, Any]:
    async with session.get(f"/status/{request_id}", headers={"Prefer": "wait=60"}) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Preference-Applied"] == "wait=60"
        body: dict[str, Any] = await response.json()
        assert body["done"], body
        return body


@both
async def test_an_upload_at_the_limit_passes_and_one_above_is_refused(
    start: Start, service: Client, origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with start(tmp_path / "proxy", port_of(service)) as proxy, proxy.client() as session:
        at_limit = of_size(SMALL_UPLOAD, url)
        assert len(at_limit) >= SMALL_UPLOAD - 10
        body = await accepted(session, at_limit)
        assert (await settled(session, body["request_id"]))["images"]["completed"] == 1
        # between the two limits the service itself refuses, above both the proxy
        for size in (SMALL_UPLOAD + 20_000, 2 * SMALL_UPLOAD):
            headers = {"Content-Type": "text/csv", "Expect": "100-continue"}
            async with session.post(
                "/upload", data=io.BytesIO(of_size(size, url)), headers=headers
            ) as response:
                told = await problem(response, 413)
                assert told["type"] == "urn:resizer:problem:upload-too-large"


@both
async def test_urls_are_of_the_proxys_name_and_scheme(
    start: Start, service: Client, origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with start(tmp_path / "proxy", port_of(service)) as proxy, proxy.client() as session:
        body = await accepted(session, catalogue([("A", url)]))
        status = await settled(session, body["request_id"])
        async with session.get(f"/requests/{body['request_id']}/images") as response:
            image = (await response.json())["data"][0]
        for each in (body["status_url"], body["result_url"], status["archive_url"], image["output_url"]):
            assert each.startswith(f"{proxy.origin}/"), each
        async with session.get(image["output_url"]) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@both
@pytest.mark.parametrize(
    "server",
    [{"public_url": f"https://{NAME}"}, {"allowed_hosts": [NAME]}],
    ids=["public_url", "allowed_hosts"],
)
async def test_own_page_passes_and_pages_of_others_do_not(
    server: dict[str, Any], start: Start, serve: Serve, tmp_path: Path
) -> None:
    data = catalogue([("A", "http://127.0.0.1:1/a.jpg")])
    service = await serve(server=server)
    async with start(tmp_path / "proxy", port_of(service)) as proxy, proxy.client() as session:
        for headers, status in (
            ({"Origin": proxy.origin}, 202),
            ({"Sec-Fetch-Site": "same-origin"}, 202),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
        ):
            async with session.post("/upload", data=form(data), headers=headers) as response:
                assert response.status == status, headers


async def test_nginx_passes_the_host_on_to_be_refused(serve: Serve, tmp_path: Path) -> None:
    """It takes any name where it has one server alone; Caddy knows only its own."""
    service = await serve(server={"public_url": f"https://{NAME}"})
    async with (
        nginx(tmp_path / "proxy", port_of(service)) as proxy,
        proxy.client() as session,
        session.get("/ping", headers={"Host": "evil.example"}) as response,
    ):
        await problem(response, 421)


@both
async def test_events_come_one_by_one(start: Start, service: Client, origin: Origin, tmp_path: Path) -> None:
    gate = asyncio.Event()
    urls = [
        origin.add("/now.jpg", Answer(body=photos.jpeg())),
        origin.add("/later.jpg", Answer(body=photos.jpeg(), gate=gate)),
    ]
    async with start(tmp_path / "proxy", port_of(service)) as proxy, proxy.client() as session:
        body = await accepted(session, catalogue([("A", *urls)]))
        async with (
            asyncio.timeout(PATIENCE),
            session.get(f"/requests/{body['request_id']}/events") as stream,
        ):
            assert stream.content_type == "text/event-stream"
            # while the second image is held up: nothing more is to come that could push this out
            while (await next_status(stream))["images"]["completed"] == 0:
                pass
            gate.set()
            while not (await next_status(stream))["done"]:
                pass


async def next_status(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    async for line in stream.content:
        if line.startswith(b"data: "):
            found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            return found
    raise AssertionError("the stream has ended")


async def test_nginx_asks_once_for_a_compressed_image(
    service: Client, origin: Origin, tmp_path: Path
) -> None:
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with nginx(tmp_path / "proxy", port_of(service)) as proxy, proxy.client() as session:
        body = await accepted(session, catalogue([("A", url)]))
        await settled(session, body["request_id"])
        async with session.get(f"/requests/{body['request_id']}/images") as response:
            image = (await response.json())["data"][0]["output_url"]
        answers = [await fetched(session, image) for _ in range(2)]
        assert [cache for cache, _ in answers] == ["MISS", "HIT"]
        assert answers[0][1] == answers[1][1] != b""
        async with session.get(image, headers={"Range": "bytes=0-9"}) as response:
            assert response.status == 206
            assert await response.read() == answers[0][1][:10]
        async with session.get(f"{proxy.origin}/compressed/{'0' * 32}.jpg") as response:
            await problem(response, 404)
    route = 'resizer_http_requests_total{method="GET",route="/compressed/{filename}",status="%s"}'
    counted = await scrape(service)
    assert (counted[route % 200], counted[route % 404]) == (1, 1)


async def fetched(session: aiohttp.ClientSession, url: str) -> tuple[str, bytes]:
    async with session.get(url) as response:
        assert response.status == 200
        return response.headers["X-Cache-Status"], await response.read()


def test_limits_are_those_of_the_service() -> None:
    settings = Settings()
    for name, size, unit, wait in (
        (NGINX, r"client_max_body_size (\d+)m;", 2**20, r"proxy_read_timeout (\d+)s;"),
        (CADDY, r"max_size (\d+)MB", 10**6, r"response_header_timeout (\d+)s"),
    ):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        limit, waits = (int(found) for each in (size, wait) for found in re.findall(each, text))
        assert settings.server.max_upload_size < limit * unit < 1.1 * settings.server.max_upload_size
        assert waits > LONGEST_WAIT


def test_caddy_refuses_by_what_is_said_from_its_own_limit_on() -> None:
    text = (DEPLOY / CADDY).read_text(encoding="utf-8")
    said = re.search(r"header_regexp Content-Length (\S+)", text)
    assert said is not None
    refused = [
        bool(re.match(said[1], str(size))) for size in (99_999, 104_999_999, 105_000_000, 1_234_567_890)
    ]
    assert refused == [False, False, True, True]


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    binary = program("nginx", package="nginx-light")
    main, _ = nginx_files(tmp_path / "proxy", 8080)
    told = output_of(binary, "-t", "-p", tmp_path, "-e", "stderr", "-c", main)
    assert "warn" not in told


def test_caddy_takes_its_file_as_it_stands(tmp_path: Path) -> None:
    binary = program("caddy", package="caddy")
    kept = DEPLOY / CADDY
    variables = caddy_environment(tmp_path)
    told = output_of(binary, "validate", "--adapter", "caddyfile", "--config", kept, **variables)
    assert "Valid configuration" in told
    assert "not formatted" not in told
    adapted = json.loads(
        output_of(binary, "adapt", "--adapter", "caddyfile", "--config", kept).splitlines()[-1]
    )
    server = adapted["apps"]["http"]["servers"]["srv0"]
    assert server["routes"][0]["match"] == [{"host": ["images.example.com"]}]
