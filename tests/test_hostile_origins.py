"""Hostile image hosts beside healthy ones, all at once: each image ends as documented, within bounds."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from yarl import URL

import kin
from origin import Answer, Origin, self_signed
from photos import encoded, jpeg, photo
from process import get_json, server
from service import Client, catalogue, form, settled, upload
from wire import errors_in

RETRIES = 1
HEALTHY = 20
#: seconds for one attempt; origins and service share a loop and its clock, so nothing else takes as long
TIMEOUT = 4.0
#: MiB; the server takes 80 in this test, about as at rest. Offered are endless bodies, and a bomb of 200
SERVER_MEMORY = 160
#: MiB of a compressing process; it takes 30
CHILD_MEMORY = 160
MAX_PIXELS = 1_000_000
#: the cases that send more than could be stored
WITHOUT_END = (
    "endless", "endless-in-chunks", "endless-of-404", "bomb", "bomb-within-the-limit", "deflate-of-nothing",
    "chunk-without-end", "trailers-endless", "head-of-a-megabyte", "head-endless", "head-line-endless",
    "100-endless", "103-endless", "to-100-kb",
)  # fmt: skip

IMAGE = jpeg(seed=9)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
SCRIPT = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


@dataclass(frozen=True, slots=True)
class Case:
    """A host's responses in order, and the expected end of the image."""

    answers: tuple[Answer, ...]
    #: None if the image is compressed in the end
    code: str | None
    tries: int = 1
    http_status: int | None = None
    #: requests that arrive; None: as many as attempts
    hits: int | None = None


def once(code: str | None, answer: Answer, **options: Any) -> Case:
    return Case((answer,), code, 1, **options)


def twice(code: str, answer: Answer, **options: Any) -> Case:
    return Case((answer,), code, 1 + RETRIES, **options)


def raw(data: bytes, *, close: bool = True) -> Answer:
    return Answer(raw=data, close=close)


def flood(first: bytes, more: bytes) -> Answer:
    """Send one text, then repeat another endlessly."""
    return Answer(raw=first, body=more, endless=True, rest=0.1, close=True)


def with_content(data: bytes, **headers: str) -> Answer:
    return Answer(body=data, headers={name.replace("_", "-"): value for name, value in headers.items()})


def busy(status: int, retry_after: str) -> Answer:
    return Answer(status=status, headers={"Retry-After": retry_after})


def cases() -> dict[str, Case]:
    truncated = Answer(body=IMAGE[:4000], length=len(IMAGE), close=True)
    png = encoded(photo(64, 48), "PNG")
    return {
        # bodies
        "endless": once("too_large", Answer.without_end()),
        "endless-in-chunks": once("too_large", flood(CHUNKED, (b"8000\r\n" + bytes(0x8000) + b"\r\n") * 20)),
        "endless-of-404": once(
            "http_status", Answer(status=404, body=bytes(65536), endless=True), http_status=404
        ),
        "bomb": once("too_large", Answer.bomb(200_000_000)),
        "bomb-within-the-limit": once("not_an_image", Answer.bomb(1_900_000)),
        "claims-too-much": once("too_large", raw(OK + b"Content-Length: 99999999\r\n\r\n", close=False)),
        "byte-a-second": twice("timeout", Answer.drip(IMAGE, pace=0.3)),
        "longer-than-told": twice("connect", raw(OK + b"Content-Length: 100\r\n\r\n" + IMAGE)),
        "shorter-than-told": twice("connect", truncated),
        "shorter-and-open": twice("timeout", Answer(body=IMAGE[:4000], length=len(IMAGE))),
        "cut-in-a-chunk": twice("connect", raw(CHUNKED + b"ffff\r\n" + IMAGE[:500])),
        "dies-midway": twice("connect", Answer(raw=OK + b"Content-Length: 9999\r\n\r\nabc", reset=True)),
        "gzip-that-is-none": twice("connect", with_content(b"no gzip", Content_Encoding="gzip")),
        "deflate-broken": twice("connect", with_content(b"\x78\x9c\xff\xff\xff", Content_Encoding="deflate")),
        "deflate-of-nothing": twice(
            "timeout", flood(OK + b"Content-Encoding: deflate\r\n\r\n", b"\0\0\0\xff\xff" * 1000)
        ),
        "brotli-unasked": twice("connect", with_content(b"abc", Content_Encoding="br")),
        "zstd-unasked": twice("connect", with_content(b"abc", Content_Encoding="zstd")),
        "unknown-coding": once(None, with_content(IMAGE, Content_Encoding="none-such")),
        # content
        "html": once("not_an_image", Answer.html()),
        "empty": once("not_an_image", Answer()),
        "204": once("not_an_image", Answer(status=204)),
        "svg": once("unsupported_format", Answer(body=SVG)),
        "truncated-image": once("corrupt_image", Answer(body=IMAGE[: len(IMAGE) // 2])),
        "large-picture": once("too_many_pixels", Answer(body=encoded(Image.new("L", (1200, 900)), "PNG"))),
        "gif-and-script": once("too_many_pixels", Answer(body=b"GIF89a/*" + SCRIPT + b"*/=1;")),
        "jpeg-and-zip": once(None, Answer(body=IMAGE + b"PK\3\4" + SCRIPT + b"PK\5\6" + bytes(18))),
        "png-and-html": once(None, Answer(body=png + SCRIPT)),
        "small-gif-and-html": once(None, Answer(body=encoded(photo(64, 48).quantize(2), "GIF") + SCRIPT)),
        # statuses
        "404": once("http_status", Answer(status=404), http_status=404),
        "999": once("http_status", Answer(status=999), http_status=999),
        "304-unasked": once("http_status", Answer(status=304), http_status=304),
        "206-unasked": once(
            "http_status",
            Answer(status=206, body=IMAGE[:4000], headers={"Content-Range": "bytes 0-3999/9999"}),
            http_status=206,
        ),
        "206-of-all": once(
            None,
            Answer(
                status=206, body=IMAGE, headers={"Content-Range": f"bytes 0-{len(IMAGE) - 1}/{len(IMAGE)}"}
            ),
        ),
        "101-unasked": once("http_status", raw(b"HTTP/1.1 101 So\r\nUpgrade: x\r\n\r\n"), http_status=101),
        "500": twice("http_status", Answer(status=500), http_status=500),
        "429": twice("http_status", Answer(status=429), http_status=429),
        "429-once": Case((busy(429, "1"), Answer(body=IMAGE)), None, 2),
        "503-once": Case((busy(503, formatdate(time.time() + 2, usegmt=True)), Answer(body=IMAGE)), None, 2),
        "503-negative": twice("http_status", busy(503, "-1"), http_status=503),
        "503-garbage": twice("http_status", busy(503, "soon, \x01"), http_status=503),
        "503-past": twice("http_status", busy(503, formatdate(0, usegmt=True)), http_status=503),
        "503-long": once("http_status", busy(503, "3600"), http_status=503),
        "503-for-ever": once("http_status", busy(503, "9" * 300), http_status=503),
        "503-far": once("http_status", busy(503, "Fri, 31 Dec 9999 23:59:59 GMT"), http_status=503),
        # redirects
        "loop": once("too_many_redirects", Answer.redirect("/x"), hits=6),
        "slow-loop": twice(
            "timeout", Answer(status=302, headers={"Location": "/x"}, delay=0.7 * TIMEOUT), hits=4
        ),
        "to-private": once("blocked_address", Answer.redirect("http://10.0.0.1/")),
        "to-metadata": once("blocked_address", Answer.redirect("http://169.254.169.254/latest/meta-data/")),
        "to-loopback-6": once("blocked_address", Answer.redirect("http://[::1]/")),
        "to-file": once("invalid_url", Answer.redirect("file:///etc/passwd")),
        "to-ftp": once("invalid_url", Answer.redirect("ftp://127.0.0.1/")),
        "to-data": once("invalid_url", Answer.redirect("data:image/png;base64,AAAA")),
        "to-odd-host": once("invalid_url", Answer.redirect("http://[v1.fe80::a]/")),
        "to-control": once("invalid_url", raw(FOUND + b"Location: /a\x01b\r\n\r\n")),
        "to-line-break": twice("connect", raw(FOUND + b"Location: /a\rX: y\r\n\r\n")),
        "to-100-kb": twice("connect", raw(FOUND + b"Location: /" + b"a" * 100_000 + b"\r\n\r\n")),
        "to-nowhere": once("http_status", Answer(status=302), http_status=302),
        # HTTP
        "silent": twice("connect", Answer.silent()),
        "reset": twice("connect", Answer.rejected()),
        "hangs": twice("timeout", Answer.hang()),
        "no-http": twice("connect", raw(b"\xff\xd8\xff\xe0 what is this")),
        "ssh": twice("connect", raw(b"SSH-2.0-OpenSSH_9.6\r\n")),
        "lengths-differ": twice("connect", raw(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
        "length-negative": twice("connect", raw(OK + b"Content-Length: -1\r\n\r\n")),
        "chunk-enormous": twice("connect", raw(CHUNKED + b"ffffffffffffffff\r\nabc")),
        "chunk-beyond": twice("connect", raw(CHUNKED + b"1" + b"0" * 40 + b"\r\nabc")),
        "chunk-negative": twice("connect", raw(CHUNKED + b"-5\r\nabc")),
        "chunk-without-end": twice("timeout", flood(CHUNKED, b"0" * 65536)),
        "trailers-endless": twice("connect", flood(CHUNKED + b"0\r\n", b"X-T: y\r\n" * 8000)),
        "head-of-a-megabyte": twice("connect", raw(OK + b"X-Y: yyyyyyyyyyyyyyyyyyyyyyy\r\n" * 35_000)),
        "head-endless": twice("connect", flood(OK, b"X-Y: y\r\n" * 8000)),
        "head-line-endless": twice("connect", flood(OK + b"X: ", b"y" * 65536)),
        "head-slow": twice("timeout", Answer(raw=OK, body=b"X: y\r\n" * 99, pace=0.1, endless=True)),
        "cookies": once(None, raw(OK + b"Set-Cookie: a=b\r\n" * 60 + b"\r\n" + IMAGE)),
        "100-endless": twice("timeout", flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)),
        "103-endless": twice("timeout", flood(b"", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" * 1000)),
    }


class NoTls:
    """Accepts TLS connections and sends nothing, or these bytes and disconnects."""

    def __init__(self, says: bytes | None = None) -> None:
        self._says = says

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/x"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._says is None:
            await reader.read()
        else:
            await reader.read(1)
            writer.write(self._says)
        writer.close()


@dataclass(frozen=True, slots=True)
class World:
    """Return hosts by name, one for each image."""

    hosts: dict[str, Origin]
    urls: dict[str, str]
    cases: dict[str, Case]
    healthy: Origin


@pytest.fixture
async def world(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        expected = cases()
        hosts = {name: await stack.enter_async_context(Origin()) for name in expected}
        urls = {name: hosts[name].add("x", *case.answers) for name, case in expected.items()}
        signed = await stack.enter_async_context(Origin(tls=self_signed(tmp_path)))
        mute, short = NoTls(), NoTls(b"")
        plain = NoTls(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        nothing = Answer()
        more: dict[str, tuple[str, Case]] = {
            "self-signed": (signed.url("x"), once("tls", nothing)),
            "http-for-tls": (await stack.enter_async_context(plain), once("tls", nothing)),
            "tls-hangs": (await stack.enter_async_context(mute), twice("timeout", nothing)),
            "tls-cut-short": (await stack.enter_async_context(short), twice("connect", nothing)),
            "refused": (f"http://127.0.0.1:{unused_tcp_port}/x", twice("connect", nothing)),
            "private": ("http://10.0.0.1/x", once("blocked_address", nothing)),
            "no-url": ("ftp://127.0.0.1/x", Case((), "invalid_url", 0)),
        }
        urls |= {name: url for name, (url, _) in more.items()}
        expected |= {name: case for name, (_, case) in more.items()}
        healthy = await stack.enter_async_context(Origin())
        yield World(hosts, urls, expected, healthy)


def peak_memory(pid: int) -> int:
    """Return the peak memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.early(2)
async def test_every_hostile_host_at_once_beside_healthy_ones(
    serve: Callable[..., Awaitable[Client]], world: World, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = {
        f"healthy-{number}": world.healthy.add(f"{number}", Answer(body=jpeg(seed=number)))
        for number in range(HEALTHY)
    }
    urls = world.urls | healthy
    client = await serve(
        fetch={
            "timeout": TIMEOUT,
            "connect_timeout": TIMEOUT,
            "retries": RETRIES,
            "max_size": 2_000_000,
        },
        compress={"max_pixels": MAX_PIXELS},
        queue={"workers": 250},  # all at once
    )
    request_id = (await upload(client, catalogue(list(urls.items()))))["request_id"]
    await settled(client, request_id)
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while len(found) < len(urls):
        async with client.get(f"/requests/{request_id}/images?limit=100{after}") as response:
            page = await response.json()
        found |= {image["product_name"]: image for image in page["data"]}
        after = f"&after={page['next']}"
    ended = {
        name: (
            image["error"] and image["error"]["code"],
            image["attempts"],
            image["error"] and image["error"]["http_status"],
        )
        for name, image in found.items()
    }
    expected = {name: (case.code, case.tries, case.http_status) for name, case in world.cases.items()}
    assert {ended.pop(name) for name in healthy} == {(None, 1, None)}
    assert ended == expected
    hits = {name: origin.hits["/x"] for name, origin in world.hosts.items()}
    assert hits == {
        name: world.cases[name].tries if world.cases[name].hits is None else world.cases[name].hits
        for name in world.hosts
    }
    for image in found.values():
        if image["status"] == "completed":
            async with client.get(URL(image["output_url"]).path) as response:
                assert b"script" not in await response.read()
    assert errors_in(caplog.records) == []


async def test_hosts_without_end_take_no_memory(tmp_path: Path, world: World) -> None:
    """Run cases whose end does not matter here."""
    urls = {name: world.urls[name] for name in WITHOUT_END}
    for number in range(HEALTHY):
        urls[f"{number}"] = world.healthy.add(f"{number}", Answer(body=jpeg(seed=number)))
    service = server(
        tmp_path / "data",
        RESIZER_FETCH__TIMEOUT=f"{TIMEOUT}",
        RESIZER_FETCH__RETRIES="0",
        RESIZER_FETCH__MAX_SIZE="2 MB",
        RESIZER_COMPRESS__MAX_PIXELS=f"{MAX_PIXELS}",
        RESIZER_QUEUE__WORKERS="50",  # all at once
    )
    async with service as running, aiohttp.ClientSession() as session:
        url = await running.url()
        data = form(catalogue(list(urls.items())))
        async with session.post(f"{url}/upload", data=data) as response:
            assert response.status == 202, await response.text()
            request_id = (await response.json())["request_id"]
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["done"], status
        pid = running.process.pid
        children = kin.descendants(pid)
        assert peak_memory(pid) < SERVER_MEMORY
        assert children
        assert all(peak_memory(child) < CHILD_MEMORY for child in children)
        assert (await get_json(session, f"{url}/ping"))["status"] == "pong"
    assert not [line for line in running.log if "Traceback" in line or "a fault of the service" in line]
