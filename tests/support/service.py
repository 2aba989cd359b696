"""The service in this process, and the operations of its clients."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from resizer.app import create_app
from resizer.config import Settings, load_settings
from resizer.webhooks.receiver import create_receiver

HEADER = "S. No.,Product Name,Input Image Urls"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = ["127.0.0.0/8"]
#: the recipe of a request without options, as in its status
DEFAULT_RECIPE = {
    "quality": 50,
    "format": "keep",
    "effort": "balanced",
    "max_width": None,
    "max_height": None,
    "fit": "inside",
    "background": None,
}

Client = TestClient[web.Request, web.Application]


def settings_for(folder: Path, **sections: dict[str, Any]) -> Settings:
    """Return the default settings with the test's folder, loopback allowed, and no grace."""
    overrides: dict[str, dict[str, Any]] = {
        "fetch": {"allow_networks": LOOPBACK, "connect_timeout": 30, "timeout": 60, "retries": 0},
        "webhook": {"allow_networks": LOOPBACK, "schedule": [0, 0.2, 0.2]},
        "compress": {"processes": 1},
        "queue": {"shutdown_grace": 0},
    }
    for section, values in sections.items():
        overrides.setdefault(section, {}).update(values)
    return load_settings(None, {"data_dir": str(folder), **overrides})


class Serve(Protocol):
    """Start the service in this process with the test's settings; yields a client."""

    async def __call__(self, *, folder: Path = ..., **sections: dict[str, Any]) -> Client: ...


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(*, folder: Path = data, **sections: dict[str, Any]) -> Client:
            server = TestServer(create_app(settings_for(folder, **sections)))
            client = TestClient(server)
            stack.push_async_callback(client.close)
            await server.start_server(auto_decompress=False)  # as in the service's own protocol
            return client

        yield start


def catalogue(rows: Sequence[Sequence[str]], header: str = HEADER) -> bytes:
    """Return a CSV with one row for each product: its name and its URLs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for number, (name, *urls) in enumerate(rows, 1):
        writer.writerow([number, name, ",".join(urls)])
    return f"{header}\r\n{buffer.getvalue()}".encode()


def form(data: bytes, *, filename: str = "products.csv", **fields: str) -> aiohttp.FormData:
    body = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        body.add_field(name, value)
    body.add_field("file", data, filename=filename, content_type="text/csv")
    return body


async def upload(client: Client, data: bytes, **fields: str) -> dict[str, Any]:
    async with client.post("/upload", data=form(data, **fields)) as response:
        assert response.status == 202, await response.text()
        body: dict[str, Any] = await response.json()
        return body


async def settled(client: Client, request_id: str) -> dict[str, Any]:
    """Return the status once it is final."""
    async with client.get(f"/status/{request_id}", headers={"Prefer": "wait=60"}) as response:
        assert response.status == 200, await response.text()
        body: dict[str, Any] = await response.json()
        assert body["done"], body
        return body


async def result_rows(client: Client, request_id: str, query: str = "") -> list[list[str]]:
    async with client.get(f"/result/{request_id}{query}") as response:
        assert response.status == 200, await response.text()
        text = (await response.read()).decode()
        return list(csv.reader(io.StringIO(text, newline="")))


async def images(client: Client, request_id: str, query: str = "") -> list[dict[str, Any]]:
    async with client.get(f"/requests/{request_id}/images{query}") as response:
        assert response.status == 200, await response.text()
        found: list[dict[str, Any]] = (await response.json())["data"]
        return found


async def problem(response: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    """Return the problem document of a response, which must be one."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "application/problem+json", text
    body: dict[str, Any] = json.loads(text)
    assert body["status"] == status
    assert {"type", "title", "detail"} <= set(body)
    return body


class Inbox:
    """The bundled receiver on loopback."""

    def __init__(self, secret: str = SECRET) -> None:
        app = create_receiver(secret)
        app.on_response_prepare.append(self._answered)
        self._client = TestClient(TestServer(app))
        self._calls = asyncio.Condition()
        #: statuses of the responses to POST /webhook
        self.answers: list[int] = []

    async def __aenter__(self) -> Self:
        await self._client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    @property
    def url(self) -> str:
        return str(self._client.make_url("/webhook"))

    async def events(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait for this many calls; returns the events, newest first."""
        async with self._calls:
            await self._calls.wait_for(lambda: len(self.answers) >= count)
        async with self._client.get("/events") as response:
            found: list[dict[str, Any]] = (await response.json())["data"]
            return found

    async def _answered(self, request: web.Request, response: web.StreamResponse) -> None:
        if request.path == "/webhook":
            async with self._calls:
                self.answers.append(response.status)
                self._calls.notify_all()
