"""An original is what its host gives now, if that is an image, and nothing else of the host's reach."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from acceptance import UNKNOWN, stage

import photos
from origin import Answer, Origin
from resizer.fetch.originals import AT_ONCE
from service import Client, catalogue, images, problem, settled, upload
from wire import Wire, errors_in

Serve = Callable[..., Awaitable[Client]]
PICTURE = photos.jpeg()
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}


@pytest.fixture(autouse=True)
def _spool_is_empty_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    assert [*(tmp_path / "data" / "spool").iterdir()] == []


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(fetch={"retries": 3, "per_host": 4 * AT_ONCE})


async def path_of(client: Client, *urls: str) -> str:
    """Upload these images and wait for their end; returns the path of the first one's original."""
    request_id = (await upload(client, catalogue([("One", *urls)])))["request_id"]
    await settled(client, request_id)
    return f"/requests/{request_id}/images/0/original"


@pytest.mark.parametrize("name", FORMATS)
async def test_original_is_sent_as_it_is_with_the_type_of_its_content(
    name: str, client: Client, origin: Origin
) -> None:
    body = photos.encoded(photos.photo(), name)
    path = await path_of(client, origin.add("/a.html", Answer(body=body, content_type="text/html")))
    async with client.get(path) as response:
        assert response.status == 200
        assert await response.read() == body
        headers = response.headers
    assert headers["Content-Type"] == FORMATS[name]
    assert headers["Content-Length"] == str(len(body))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, max-age=600"
    assert not {"ETag", "Last-Modified", "Content-Disposition"} & set(headers)


async def test_each_image_has_its_number_in_the_order_of_the_csv(client: Client, origin: Origin) -> None:
    bodies = [photos.jpeg(seed=seed) for seed in range(3)]
    urls = [origin.add(f"/{number}.jpg", Answer(body=body)) for number, body in enumerate(bodies)]
    data = catalogue([("One", urls[0], urls[1]), ("None",), ("Two", urls[2])])
    request_id = (await upload(client, data))["request_id"]
    await settled(client, request_id)
    listed = [image["input_url"] for image in await images(client, request_id)]
    assert listed == urls
    for number, body in enumerate(bodies):
        async with client.get(f"/requests/{request_id}/images/{number}/original") as response:
            assert await response.read() == body


async def test_original_is_what_the_host_gives_now(client: Client, origin: Origin) -> None:
    now = photos.jpeg(seed=7)
    path = await path_of(client, origin.add("/a.jpg", Answer(body=PICTURE), Answer(body=now)))
    async with client.get(path) as response:
        assert await response.read() == now


async def test_original_of_many_pieces_is_whole(client: Client, origin: Origin) -> None:
    """Only its beginning is an image's; what could not be compressed can be looked at all the same."""
    body = b"\xff\xd8\xff" + os.urandom(1_500_000)
    path = await path_of(client, origin.add("/a.jpg", Answer(body=body)))
    async with client.get(path) as response:
        assert await response.read() == body


async def test_head_tells_of_the_image_and_sends_none(client: Client, origin: Origin) -> None:
    path = await path_of(client, origin.add("/a.jpg", Answer(body=PICTURE)))
    async with client.head(path) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(PICTURE))
        assert not await response.read()


@pytest.mark.parametrize(
    "answer, code",
    [
        pytest.param(Answer.html(), "not_an_image", id="page"),
        pytest.param(Answer(body=SVG, content_type="image/svg+xml"), "unsupported_format", id="svg"),
        pytest.param(Answer(), "not_an_image", id="nothing"),
        pytest.param(Answer(status=404), "http_status", id="gone"),
        pytest.param(Answer.redirect("http://10.0.0.1/x.jpg?sig=secret"), "blocked_address", id="redirect"),
        pytest.param(Answer.redirect("file:///etc/passwd"), "invalid_url", id="scheme"),
        pytest.param(Answer(body=bytes(2_000_001)), "too_large", id="large"),
    ],
)
async def test_what_is_no_image_is_refused_for_the_same_reason_as_before(
    answer: Answer, code: str, serve: Serve, origin: Origin
) -> None:
    client = await serve(fetch={"max_size": "2 MB"})
    path = await path_of(client, origin.add("/a.jpg", answer))
    (image,) = await images(client, path.split("/")[2])
    assert image["error"]["code"] == code
    async with client.get(path) as response:
        told = await problem(response, 502)
        assert "Cache-Control" not in response.headers
    assert told["type"] == "urn:resizer:problem:original-unavailable"
    assert told["detail"] == image["error"]["message"]


@pytest.mark.parametrize(
    "url, code",
    [
        ("http://user:secret@10.0.0.1/a.jpg?sig=secret", "blocked_address"),
        ("http://[::ffff:10.0.0.1]/a.jpg", "blocked_address"),
        ("ftp://user:secret@host/a.jpg?sig=secret", "invalid_url"),
    ],
)
async def test_address_is_guarded_as_in_fetching(url: str, code: str, client: Client) -> None:
    path = await path_of(client, url)
    (image,) = await images(client, path.split("/")[2])
    assert image["error"]["code"] == code
    async with client.get(path) as response:
        told = await problem(response, 502)
    assert told["detail"] == image["error"]["message"]
    assert "secret" not in str(told)


async def test_image_that_is_gone_since_is_told_so(client: Client, origin: Origin) -> None:
    path = await path_of(client, origin.add("/a.jpg", Answer(body=PICTURE), Answer(status=410)))
    async with client.get(path) as response:
        assert "answered with status 410" in (await problem(response, 502))["detail"]


async def test_passing_fault_is_told_at_once(client: Client, origin: Origin) -> None:
    """Whoever looks at a page can ask again; the configuration has three retries."""
    path = await path_of(client, origin.add("/a.jpg", Answer(body=PICTURE), Answer(status=500)))
    async with client.get(path) as response:
        await problem(response, 502)
    assert origin.hits["/a.jpg"] == 2


async def test_unknown_request_and_number_are_not_found(client: Client, origin: Origin) -> None:
    path = await path_of(client, origin.add("/a.jpg", Answer(body=PICTURE)))
    for number in ("1", "-1", "00", "+0", "0.0", "1e0", "x", "%D9%A0", "9" * 18, "9" * 19, "9" * 400, "0%20"):
        async with client.get(path.replace("/0/", f"/{number}/")) as response:
            await problem(response, 404)
    async with client.get(f"/requests/{UNKNOWN}/images/0/original") as response:
        assert "no-such-request" in (await problem(response, 404))["type"]
    async with client.delete("/".join(path.split("/")[:3])) as response:
        assert response.status == 204
    async with client.get(path) as response:
        await problem(response, 404)
    assert origin.hits["/a.jpg"] == 1


async def test_original_wants_a_token(serve: Serve) -> None:
    client = await serve(server={"api_tokens": ["secret"]})
    path = f"/requests/{UNKNOWN}/images/0/original"
    async with client.get(path) as response:
        await problem(response, 401)
    async with client.get(path, headers={"Authorization": "Bearer secret"}) as response:
        await problem(response, 404)


async def test_few_are_fetched_at_once(client: Client, origin: Origin) -> None:
    gate = asyncio.Event()
    url = origin.add("/a.jpg", Answer(body=PICTURE), Answer(body=PICTURE, gate=gate))
    path = await path_of(client, url)

    async def look() -> bytes:
        async with client.get(path) as response:
            return await response.read()

    looking = [asyncio.create_task(look()) for _ in range(3 * AT_ONCE)]
    await origin.arrived("/a.jpg", 1 + AT_ONCE)
    gate.set()
    assert await asyncio.gather(*looking) == [PICTURE] * (3 * AT_ONCE)
    assert origin.most_at_once == AT_ONCE


async def test_who_leaves_ends_the_fetch(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """Those who left held all places, for hosts that never answer."""
    caplog.set_level(logging.DEBUG)
    async with stage(tmp_path / "data", origin=origin) as service:
        url = origin.add("/a.jpg", Answer(body=PICTURE), Answer.hang())
        other = service.picture()
        request_id = await service.finished([("One", url, other)])
        path = f"/requests/{request_id}/images/{{}}/original"
        wires = [await Wire.to(service.port) for _ in range(AT_ONCE)]
        for wire in wires:
            await wire.send(f"GET {path.format(0)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await origin.arrived("/a.jpg", 1 + AT_ONCE)
        for wire in wires:
            wire.writer.close()
        async with service.session.get(path.format(1)) as response:
            assert response.status == 200
            await response.read()
    assert errors_in(caplog.records) == []


async def test_who_leaves_in_the_middle_holds_nothing(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = b"\xff\xd8\xff" + bytes(20_000_000)
    async with stage(tmp_path / "data", origin=origin) as service:
        request_id = await service.finished([("One", origin.add("/a.jpg", Answer(body=body)))])
        path = f"/requests/{request_id}/images/0/original"
        for _ in range(AT_ONCE + 1):
            async with aiohttp.ClientSession(service.root) as session, session.get(path) as response:
                assert response.status == 200
                assert await response.content.readexactly(3) == body[:3]
                # it has no name any more while it is sent
                assert [*(tmp_path / "data" / "spool").iterdir()] == []
    assert errors_in(caplog.records) == []


async def test_who_reads_slowly_holds_up_nobody(tmp_path: Path, origin: Origin) -> None:
    body = b"\xff\xd8\xff" + bytes(20_000_000)
    async with stage(tmp_path / "data", origin=origin) as service:
        url = origin.add("/a.jpg", Answer(body=body))
        request_id = await service.finished([("One", url, service.picture())])
        path = f"/requests/{request_id}/images/{{}}/original"
        wires = [await Wire.to(service.port) for _ in range(2 * AT_ONCE)]
        for wire in wires:
            await wire.send(f"GET {path.format(0)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await origin.arrived("/a.jpg", 1 + len(wires))
        async with service.session.get(path.format(1)) as response:
            assert response.status == 200
            await response.read()
        for wire in wires:
            wire.writer.close()
