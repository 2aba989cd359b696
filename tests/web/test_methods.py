"""Each path says which methods it takes, takes no other, and answers HEAD wherever it answers GET."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

import photos
from origin import Answer, Origin
from resizer.app import create_app
from service import Client, catalogue, images, problem, settings_for, settled, upload
from wire import Wire, listening

Serve = Callable[..., Awaitable[Client]]
#: every one that HTTP knows and a server might have, and one that it does not know yet
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND")
#: of two answers to the same question
DIFFERENT = {"Date", "Transfer-Encoding", "Connection"}


def routes_of(app: web.Application) -> dict[str, set[str]]:
    """Path template → methods that have a handler."""
    found: dict[str, set[str]] = {}
    for route in app.router.routes():
        assert route.resource is not None
        found.setdefault(route.resource.canonical, set()).add(route.method)
    return found


def paths_of(app: web.Application) -> Iterator[tuple[str, set[str]]]:
    for template, methods in routes_of(app).items():
        yield template.replace("{", "").replace("}", ""), methods


async def test_each_path_tells_its_methods(serve: Serve) -> None:
    client = await serve()
    for path, methods in paths_of(client.app):
        async with client.options(path) as response:
            assert (path, response.status) == (path, 204)
            assert set(response.headers["Allow"].split(", ")) == {*methods, "OPTIONS"}
            assert not await response.read()
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_each_path_refuses_every_other_method_and_says_which_it_takes(serve: Serve) -> None:
    client = await serve()
    for path, methods in paths_of(client.app):
        for method in METHODS:
            if method in {*methods, "OPTIONS"}:
                continue
            async with client.request(method, path) as response:
                assert (path, method, response.status) == (path, method, 405)
                assert set(response.headers["Allow"].split(", ")) == {*methods, "OPTIONS"}
                if method != "HEAD":
                    assert method in (await problem(response, 405))["detail"]


@pytest.mark.parametrize("method", [*METHODS])
async def test_unknown_path_is_not_found_by_any_method(method: str, serve: Serve) -> None:
    client = await serve()
    for path in ("/nowhere", "/requests/x/nothing", "/ping/"):
        async with client.request(method, path) as response:
            assert response.status == 404
            assert "Allow" not in response.headers
            if method != "HEAD":
                await problem(response, 404)


async def test_every_get_has_its_head() -> None:
    for template, methods in routes_of(create_app(settings_for(Path("nowhere")))).items():
        assert ("GET" in methods) == ("HEAD" in methods), template


async def test_head_has_the_headers_of_get_and_no_body(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    request_id = (await upload(client, catalogue([("One", origin.url("/a.jpg"))])))["request_id"]
    await settled(client, request_id)
    output = (await images(client, request_id))[0]["output_url"]
    for template, methods in routes_of(client.app).items():
        if "GET" not in methods:
            continue
        path = template.format(
            request_id=request_id, filename=output.rpartition("/")[2], number=0, name="sample.csv"
        )
        async with client.get(path) as response:
            assert (path, response.status) == (path, 200)
            asked = dict(response.headers)
            await response.read()
        async with client.head(path) as response:
            assert (path, response.status) == (path, 200)
            headed = dict(response.headers)
            assert not await response.read()
        if template == "/metrics":  # counts on meanwhile
            DIFFERENT.add("Content-Length")
        for headers in (asked, headed):
            for name in DIFFERENT:
                headers.pop(name, None)
        DIFFERENT.discard("Content-Length")
        assert headed == asked, path


@pytest.mark.parametrize("target", ["/nowhere", "127.0.0.1:80", "/ping"])
async def test_connect_is_refused(target: str, tmp_path: Path) -> None:
    async with listening(create_app(settings_for(tmp_path))) as port, await Wire.to(port) as wire:
        await wire.send(f"CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert (await wire.reply()).status in {404, 405}


async def test_what_is_no_method_is_refused_as_no_request(tmp_path: Path) -> None:
    async with listening(create_app(settings_for(tmp_path))) as port:
        for method in ("FOO", "get", "G E T"):
            async with await Wire.to(port) as wire:
                await wire.send(f"{method} /ping HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                (await wire.reply()).problem(400)


async def test_methods_of_a_path_want_a_token_where_the_path_does(serve: Serve) -> None:
    client = await serve(server={"api_tokens": ["secret"]})
    for method in ("OPTIONS", "PUT"):
        async with client.request(method, "/requests") as response:
            await problem(response, 401)
            assert "Allow" not in response.headers
    async with client.options("/ping") as response:
        assert response.status == 204
