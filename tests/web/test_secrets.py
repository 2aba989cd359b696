"""Who has no token learns nothing, and what is secret stands in no log, answer or message."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import photos
from origin import Answer, Origin
from process import Process
from resizer.app import create_app
from service import SECRET, Inbox, catalogue, form, settings_for
from wire import Wire, listening

TOKEN = "the-first-token-of-two"
OTHER = "the-second-token-of-two"
#: routes without a token (docs/api.md)
OPEN = {"/", "/page/{name}", "/ping", "/healthz", "/compressed/{filename}"}

WRONG = {
    "none": [],
    "empty": [b"Authorization:"],
    "no scheme": [f"Authorization: {TOKEN}".encode()],
    "no token": [b"Authorization: Bearer", b"X: y"],
    "wrong": [b"Authorization: Bearer wrong"],
    "a part": [f"Authorization: Bearer {TOKEN[:-1]}".encode()],
    "more": [f"Authorization: Bearer {TOKEN}x".encode()],
    "two tokens": [f"Authorization: Bearer {TOKEN} {OTHER}".encode()],
    "other case": [f"Authorization: Bearer {TOKEN.upper()}".encode()],
    "other scheme": [f"Authorization: Basic {TOKEN}".encode()],
    "very long": [b"Authorization: Bearer " + b"x" * 8000],
    "not ASCII": ["Authorization: Bearer ключ".encode()],
    "not UTF-8": [b"Authorization: Bearer \xff\xfe"],
    "right and wrong": [f"Authorization: Bearer {TOKEN}".encode(), b"Authorization: Bearer wrong"],
    "wrong and right": [b"Authorization: Bearer wrong", f"Authorization: Bearer {TOKEN}".encode()],
    "other header": [f"Proxy-Authorization: Bearer {TOKEN}".encode(), f"X-Api-Key: {TOKEN}".encode()],
    "cookie": [f"Cookie: token={TOKEN}".encode()],
}


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[tuple[web.Application, int]]:
    app = create_app(settings_for(tmp_path / "data", server={"api_tokens": [TOKEN, OTHER]}))
    async with listening(app) as port:
        yield app, port


def asked(method: str, path: str, headers: list[bytes]) -> bytes:
    start = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Content-Length: 0"]
    return b"\r\n".join([*start, *headers, b"", b""])


async def test_every_route_but_the_open_ones_wants_a_token(closed: tuple[web.Application, int]) -> None:
    """Goes over the routes themselves, so that none that is added later stays open unnoticed."""
    app, port = closed
    routes = {
        ("GET" if route.method == "*" else route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    assert {canonical for _, canonical in routes} >= OPEN
    unknown = {
        ("GET", path)
        for path in (
            "/nowhere",
            "//",
            "/%2f",
            "/index.html",
            "/ping/",
            "/ping%2f",
            "//ping",
            "/PING",
            "/compressed%2fx",
            "/page",
            "/page%2fx",
            "/%70age/x",
            "//page/x",
            "/x/../page/x",
        )
    }
    async with await Wire.to(port) as wire:
        for method, canonical in routes | unknown:
            path = canonical.replace("{", "").replace("}", "")
            for case, headers in WRONG.items():
                for query in ("", f"?token={TOKEN}&access_token={TOKEN}"):
                    await wire.send(asked(method, path + query, headers))
                    reply = await wire.reply(head_only=method == "HEAD")
                    if canonical in OPEN and (method, canonical) not in unknown:
                        assert reply.status in {200, 404}, (method, path)
                        continue
                    assert (method, path, case, reply.status) == (method, path, case, 401)
                    assert reply.headers["www-authenticate"].startswith("Bearer")
                    if method != "HEAD":
                        reply.problem(401)


async def test_token_with_a_character_that_no_header_may_hold_is_refused(
    closed: tuple[web.Application, int],
) -> None:
    _, port = closed
    async with await Wire.to(port) as wire:
        await wire.send(asked("GET", "/status/x", [f"Authorization: Bearer {TOKEN}\0".encode()]))
        reply = await wire.reply()
        reply.problem(400)
        assert TOKEN.encode() not in reply.body


@pytest.mark.parametrize("token", [TOKEN, OTHER])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_any_of_the_tokens_opens(token: str, scheme: str, closed: tuple[web.Application, int]) -> None:
    _, port = closed
    async with await Wire.to(port) as wire:
        await wire.send(asked("GET", "/status/x", [f"Authorization: {scheme}{token}".encode()]))
        (await wire.reply()).problem(404)


#: each stands in one place, where a client or an operator puts what is secret
HIDDEN = {
    "token": TOKEN,
    "other token": OTHER,
    "webhook secret": SECRET.removeprefix("whsec_"),
    "image's user": "imageuser",
    "image's password": "imagepass",
    "image's query": "imagesig",
    "redirect's query": "redirectsig",
    "webhook's password": "hookpass",
    "webhook's query": "hooksig",
    "query of a request": "querysecret",
}


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_log_and_answers_hold_no_secret(log_format: str, tmp_path: Path, origin: Origin) -> None:
    """The real process at level debug: uploads, failures of every kind, webhooks, refusals, odd headers."""
    origin.add("/ok.jpg", Answer(body=photos.jpeg()))
    origin.add("/gone.jpg", Answer(status=404))
    origin.add("/page.jpg", Answer.html())
    origin.add("/away.jpg", Answer.redirect("/gone.jpg?sig=redirectsig"))
    origin.add("/inside.jpg", Answer.redirect("http://u:imagepass@10.0.0.1/x?sig=redirectsig"))
    port = origin.url("/").rsplit(":", 1)[1].strip("/")
    site = f"http://imageuser:imagepass@127.0.0.1:{port}"
    urls = [
        *(f"{site}/{name}.jpg?sig=imagesig" for name in ("ok", "gone", "page", "away", "inside")),
        "http://imageuser:imagepass@127.0.0.1:9/closed.jpg?sig=imagesig",
        "http://imageuser:imagepass@10.0.0.1/private.jpg?sig=imagesig",
        "http://imageuser:imagepass@no-such-host.invalid/dns.jpg?sig=imagesig",
        "http://imageuser:imagepass@127.0.0.1:imagesig/port.jpg",
        "ftp://imageuser:imagepass@h/scheme.jpg?sig=imagesig",
        "http://imageuser:imagepass@/host.jpg?sig=imagesig",
    ]
    heard: list[str] = []
    async with Inbox() as inbox, aiohttp.ClientSession() as session:
        variables = {
            "RESIZER_SERVER__API_TOKENS": f"{TOKEN},{OTHER}",
            "RESIZER_WEBHOOK__SECRET": SECRET,
            "RESIZER_LOG__LEVEL": "debug",
            "RESIZER_LOG__FORMAT": log_format,
            "RESIZER_WEBHOOK__SCHEDULE": "0,0.1",
        }
        async with Process("serve", "--port", "0", "--data-dir", tmp_path, variables=variables) as process:
            url = (await process.url()).rstrip('"}')  # which end a line of JSON

            async def call(method: str, path: str, *, own: str = "", **options: Any) -> Any:
                """What the client itself has said, such as its webhook's URL, may come back to it."""
                headers = {"Authorization": f"Bearer {TOKEN}", "Prefer": "wait=60"}
                async with session.request(method, url + path, headers=headers, **options) as response:
                    text = await response.text()
                heard.append(f"{response.headers} {text}".replace(own, "") if own else text)
                return json.loads(text)

            for hook in (inbox.url, "http://127.0.0.1:9/closed"):
                own = hook.replace("http://", "http://hookuser:hookpass@") + "?sig=hooksig"
                data = form(catalogue([("One", *urls)]), webhook_url=own)
                request_id = (await call("POST", "/upload?q=querysecret", data=data))["request_id"]
                assert (await call("GET", f"/status/{request_id}?q=querysecret", own=own))["done"]
                images = (await call("GET", f"/requests/{request_id}/images"))["data"]
                assert images[0]["status"] == "completed"
                errors = [each["error"] for each in images[1:]]
                assert all(errors)
                heard[-1] = json.dumps(errors)
            await inbox.events()
            await process.said("127.0.0.1:9/closed")  # the delivery that failed
            await call("GET", f"/requests/{request_id}/deliveries", own=own)
            await call("POST", "/upload", data=form(f"S. No.,SKU,Images\n1,,{urls[0]}\n".encode()))
            bad = "http://hookuser:hookpass@:x/"
            await call("POST", "/upload", own=bad, data=form(catalogue([("One", urls[0])]), webhook_url=bad))
            await call("GET", "/nowhere?q=querysecret")
            await call("GET", f"/nowhere?token={OTHER}")
            for odd in (
                f"GET /ping HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\0\r\n\r\n",
                f"GET /ping HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer {TOKEN}\r\n\r\n",
                f"GET /ping HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}{'x' * 9000}\r\n\r\n",
                f"GET /ping?token={TOKEN}{'x' * 9000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                f"nonsense {TOKEN}\r\n\r\n",
            ):
                async with await Wire.to(int(url.rpartition(":")[2])) as wire:
                    await wire.send(odd.encode())
                    heard.append((await wire.reply()).body.decode())
            process.signal(signal.SIGTERM)
            assert (await process.ended())[0] == 0
    log = "\n".join(process.log)
    assert log.count("GET /status/") == 2  # the access log is on
    for name, secret in HIDDEN.items():
        assert secret not in log, name
        assert not [each for each in heard if secret in each], name
    assert "Traceback" not in log


async def test_config_prints_no_secret_and_messages_repeat_none(tmp_path: Path) -> None:
    async def run(*command: str, **variables: str) -> str:
        async with Process(*command, "--data-dir", tmp_path, variables=variables) as process:
            _, output = await process.ended()
        return "\n".join([output, *process.log])

    right = await run(
        "config",
        RESIZER_SERVER__API_TOKENS=TOKEN,
        RESIZER_WEBHOOK__SECRET=SECRET,
        RESIZER_ENGINE__BROKER_URL="redis://:hidden@h:6379/0?password=hidden",
        RESIZER_WEBHOOK__URL="https://user:hidden@h/hook?token=hidden",
    )
    assert "[webhook]" in right
    for secret in (TOKEN, SECRET, "hidden"):
        assert secret not in right
    wrong = {
        "server.api_tokens": {"RESIZER_SERVER__API_TOKENS": '["hidden token"]'},
        "webhook.secret": {"RESIZER_WEBHOOK__SECRET": "whsec_hidden!"},
        "webhook.url": {"RESIZER_WEBHOOK__URL": "ftp://user:hidden@h/?token=hidden"},
        "engine.broker_url": {"RESIZER_ENGINE__BROKER_URL": "redis://:hidden@h:hidden/0"},
        "storage.endpoint": {"RESIZER_STORAGE__ENDPOINT": "https://key:hidden@s3.example.com"},
    }
    for key, variables in wrong.items():
        told = await run("config", **variables)
        assert key in told
        assert "hidden" not in told, told
    told = await run("receive", "--port", "0", "--secret", "whsec_hidden!")
    assert "webhook.secret" in told
    assert "hidden" not in told
    (tmp_path / "webhook.secret").write_text("whsec_hidden!\n")
    told = await run("serve", "--port", "0")
    assert "webhook.secret" in told
    assert "hidden" not in told
