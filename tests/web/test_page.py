"""The web page is sent completely and safely, from its own files only."""

import html
import json
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from resizer.app import create_app
from resizer.web.page import PLACEHOLDER, Page
from resizer.web.problems import answer_problems
from service import Client, problem, settings_for
from wire import Wire, listening

Serve = Callable[..., Awaitable[Client]]
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}
FOLDER = Path(str(files("resizer.web.page")))
ASSETS = sorted(each.name for each in FOLDER.iterdir() if each.suffix in TYPES)
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
}


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


async def index(client: Client) -> str:
    async with client.get("/") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        return await response.text()


def settings_in(text: str) -> dict[str, Any]:
    """Return the settings that the page contains."""
    (content,) = [
        each["content"]
        for tag, each in Elements(text).found
        if tag == "meta" and each.get("name") == "resizer"
    ]
    facts: dict[str, Any] = json.loads(content)
    return facts


async def test_every_file_is_sent_unchanged(serve: Serve) -> None:
    client = await serve()
    assert "sample.csv" in ASSETS
    for name in ASSETS:
        async with client.get(f"/page/{name}") as response:
            assert (name, response.status) == (name, 200)
            assert response.headers["Content-Type"] == TYPES[Path(name).suffix]
            assert await response.read() == (FOLDER / name).read_bytes()
            saved = response.headers.get("Content-Disposition")
            assert saved == (f'attachment; filename="{name}"' if name.endswith(".csv") else None)


async def test_every_file_that_the_page_names_exists(serve: Serve) -> None:
    client = await serve()
    named = {
        each[name]
        for _, each in Elements(await index(client)).found
        for name in ("src", "href")
        if name in each
    }
    assert named
    for name in named:
        async with client.get(f"/{name}") as response:
            assert (name, response.status) == (name, 200)


async def test_page_may_load_only_from_this_server_and_may_not_be_framed(serve: Serve) -> None:
    client = await serve()
    for path in ("/", *(f"/page/{name}" for name in ASSETS)):
        async with client.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert set(policy.split("; ")) == POLICY
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_page_contains_nothing_that_its_policy_forbids(serve: Serve) -> None:
    client = await serve()
    text = await index(client)
    assert "<style" not in text
    assert not re.search(r"<script(?![^>]* src=)", text)
    for _, attributes in Elements(text).found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


async def test_unchanged_file_is_not_sent_again(serve: Serve) -> None:
    client = await serve()
    tags = set()
    for path in ("/", *(f"/page/{name}" for name in ASSETS)):
        async with client.get(path) as response:
            tag = response.headers["ETag"]
            whole = response.headers
        assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
        tags.add(tag)
        for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            async with client.get(path, headers={"If-None-Match": known}) as response:
                assert (path, known, response.status) == (path, known, 304)
                assert not await response.read()
                for name in ("ETag", "Cache-Control", "Content-Security-Policy"):
                    assert response.headers[name] == whole[name]
        async with client.get(path, headers={"If-None-Match": '"x"'}) as response:
            assert response.status == 200
    assert len(tags) == len(ASSETS) + 1


async def test_tag_changes_with_the_settings(serve: Serve, tmp_path: Path) -> None:
    tags = set()
    for quality in (50, 60):
        client = await serve(folder=tmp_path / str(quality), compress={"quality": quality})
        async with client.get("/") as response:
            tags.add(response.headers["ETag"])
    assert len(tags) == 2


async def test_page_contains_the_defaults_in_force(serve: Serve) -> None:
    client = await serve(
        compress={
            "quality": 61,
            "format": "webp",
            "effort": "small",
            "max_width": 800,
            "max_height": 600,
            "fit": "pad",
            "background": "#f4f4f4",
        },
        server={"max_upload_size": "7 MB", "api_tokens": ["a-token-of-the-test"]},
    )
    text = await index(client)
    assert settings_in(text) == {
        "quality": 61,
        "format": "webp",
        "effort": "small",
        "max_width": 800,
        "max_height": 600,
        "fit": "pad",
        "background": "#f4f4f4",
        "max_upload_size": 7_000_000,
        "tokens": True,
    }
    assert "a-token-of-the-test" not in text
    assert "SETTINGS" not in text


async def test_settings_in_the_page_are_escaped(serve: Serve) -> None:
    text = await index(await serve())
    assert html.escape('"format": "keep"') in text
    assert settings_in(text)["tokens"] is False


async def test_page_needs_no_token_where_the_api_does(serve: Serve) -> None:
    client = await serve(server={"api_tokens": ["secret"]})
    for path in ("/", *(f"/page/{name}" for name in ASSETS)):
        for method in ("GET", "HEAD"):
            async with client.request(method, path) as response:
                assert (path, response.status) == (path, 200)
    async with client.get("/page/nothing.js") as response:
        await problem(response, 404)
    async with client.get("/requests") as response:
        await problem(response, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/page/", "/page//", "/page/.", "/page/..", "/page/../openapi.json", "/page/../status/x",
        "/page/%2e%2e/openapi.json", "/page/..%2fauth.py", "/page/%2e%2e%2f%2e%2e%2fapp.py",
        "/page/..%5cauth.py", "/page//etc/passwd", "/page/%2fetc%2fpasswd", "/page/sample.csv%00",
        "/page/sample.csv/", "/page/./sample.csv", "/page/SAMPLE.CSV", "/page/__init__.py",
        "/page/__pycache__", "/page/index.html", "/page/%ff", "/page/%252e%252e",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_pages_files(path: str, tmp_path: Path) -> None:
    """Sent byte by byte, since a client would normalise the path."""
    app = create_app(settings_for(tmp_path, server={"api_tokens": ["secret"]}))
    async with listening(app) as port, await Wire.to(port) as wire:
        await wire.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        (await wire.reply()).problem(404)


async def test_files_of_other_kinds_are_not_sent(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html>{PLACEHOLDER}")
    for name in ("a.js", "b.css", "c.csv", "d.svg", "e.py", "f.html", "g", ".js", "h.js.map"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.js").mkdir()
    (tmp_path / "folder.js" / "i.js").write_bytes(b"x")
    app = web.Application(middlewares=[answer_problems])
    Page(settings_for(tmp_path), tmp_path).add_to(app)
    (tmp_path / "late.js").write_bytes(b"x")
    (tmp_path / "a.js").write_bytes(b"changed")
    async with TestClient(TestServer(app)) as client:
        for name in ("a.js", "b.css", "c.csv", "d.svg"):
            async with client.get(f"/page/{name}") as response:
                assert response.headers["Content-Type"] == TYPES[Path(name).suffix]
                assert await response.read() == b"x"
        for name in ("e.py", "f.html", "g", ".js", "h.js.map", "folder.js", "folder.js/i.js", "late.js"):
            async with client.get(f"/page/{name}") as response:
                assert (name, response.status) == (name, 404)


@pytest.mark.parametrize("text", ["<!doctype html>", PLACEHOLDER * 2, '<meta name="resizer" content="{}">'])
def test_page_without_a_placeholder_for_the_settings_starts_no_service(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(text)
    with pytest.raises(ValueError, match=r"index\.html must contain"):
        Page(settings_for(tmp_path), tmp_path)
