"""Pages of other sites, in a browser on the service's machine, can neither read nor change anything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext

from chromium import Windows
from service import Client, Serve, catalogue

pytestmark = pytest.mark.asyncio(loop_scope="session")

CSV = catalogue([("One", "http://127.0.0.1:1/a.jpg")]).decode()
#: uploads by fetch and by a form, without a preflight; gives what the page could read of the answers
ATTACK = """async ([address, csv]) => {
    const file = new File([csv], "products.csv", {type: "text/csv"});
    const body = new FormData();
    body.append("file", file);
    const replies = [];
    for (const mode of ["no-cors", "cors"]) {
        replies.push(await fetch(`${address}/upload`, {method: "POST", mode, body})
            .then(async response => `${response.type} ${response.status} ${await response.text()}`, String));
        replies.push(await fetch(`${address}/requests`, {mode})
            .then(async response => `${response.type} ${response.status} ${await response.text()}`, String));
    }
    const carried = new DataTransfer();
    carried.items.add(file);
    const field = Object.assign(document.createElement("input"), {type: "file", name: "file"});
    field.files = carried.files;
    const attributes = {method: "post", enctype: "multipart/form-data", action: `${address}/upload`};
    const frame = Object.assign(document.createElement("iframe"), {name: "sink"});
    const form = Object.assign(document.createElement("form"), {...attributes, target: "sink"});
    form.append(field);
    document.body.append(frame, form);
    const loaded = new Promise(resolve => frame.addEventListener("load", resolve));
    form.submit();
    await loaded;
    return replies;
}"""


@asynccontextmanager
async def other_site() -> AsyncIterator[int]:
    """Serve a site on this machine; yields its port."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>x</title><body>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


async def attack(context: BrowserContext, page_address: str, service: str) -> list[str]:
    page = await context.new_page()
    await page.goto(page_address)
    replies: list[str] = await page.evaluate(ATTACK, [service, CSV])
    return replies


async def count_of(client: Client) -> int:
    async with client.get("/requests") as response:
        return len((await response.json())["data"])


async def test_page_of_another_site_uploads_and_reads_nothing(serve: Serve, windows: Windows) -> None:
    client = await serve()
    port = client.server.port
    async with other_site() as other:
        # another site, and another port of the same site
        for page in (
            f"http://evil.test:{other}/",
            f"http://127.0.0.1:{other}/",
            f"http://localhost:{other}/",
        ):
            replies = await attack(windows.context, page, f"http://127.0.0.1:{port}")
            assert len(replies) == 4
            assert not any("request_id" in each or "has_more" in each for each in replies), replies
            assert await count_of(client) == 0


async def test_name_that_was_rebound_uploads_and_reads_nothing(serve: Serve, windows: Windows) -> None:
    client = await serve()
    rebound = f"http://evil.test:{client.server.port}"
    replies = await attack(windows.context, f"{rebound}/", rebound)
    assert [each.split()[:2] for each in replies] == [["basic", "421"]] * 4
    assert await count_of(client) == 0


@pytest.mark.parametrize("host", ["resizer.test", "localhost", "127.0.0.1"])
async def test_own_page_uploads_under_each_of_the_hosts(host: str, serve: Serve, windows: Windows) -> None:
    """Under `resizer.test` the browser sends no Sec-Fetch-Site, as there is no TLS."""
    client = await serve(server={"allowed_hosts": ["resizer.test"]})
    page = await windows.context.new_page()
    await page.goto(f"http://{host}:{client.server.port}/")
    send = """csv => fetch("/upload", {method: "POST", body: csv, headers: {"Content-Type": "text/csv"}})
        .then(response => response.status)"""
    assert await page.evaluate(send, CSV) == 202
    assert await count_of(client) == 1
