"""The service as a client meets it, with an image host beside it, and the shapes of its bodies."""

import asyncio
import csv
import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

import photos
from cluster import cluster
from origin import Answer, Origin
from resizer.app import create_app
from service import catalogue, form, problem, settings_for
from wire import listening

Json = dict[str, Any]

#: what no service has given out
UNKNOWN = "00000000-0000-4000-8000-000000000000"
CSV = {"Content-Type": "text/csv"}


@dataclass(frozen=True, slots=True)
class Maybe:
    """Null, or of this shape."""

    shape: Any


@dataclass(frozen=True, slots=True)
class Each:
    """A list whose elements are of this shape."""

    shape: Any


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.]\d+)?Z")
URL = re.compile(r"https?://[^/\s]+/\S*")
TEXT = re.compile(r"(?s).+")
REQUEST_STATUS = re.compile(r"pending|processing|completed|partial|failed|cancelled")
ERROR_CODE = re.compile(
    r"invalid_url|blocked_address|dns|connect|tls|timeout|http_status|too_many_redirects|too_large"
    r"|not_an_image|unsupported_format|corrupt_image|too_many_pixels|compress_timeout|compress_crash|storage"
)

UPLOAD_BODY = {
    "request_id": TEXT,
    "status": REQUEST_STATUS,
    "products": int,
    "images": int,
    "status_url": URL,
    "result_url": URL,
    "created_at": TIME,
}
STATUS_BODY = {
    "request_id": TEXT,
    "status": REQUEST_STATUS,
    "done": bool,
    "filename": TEXT,
    "products": int,
    "images": {"total": int, "pending": int, "completed": int, "failed": int, "cancelled": int},
    "bytes": {"input": int, "output": int, "saved": int},
    "recipe": {
        "quality": int,
        "format": re.compile(r"keep|jpeg|png|webp|avif"),
        "effort": re.compile(r"fast|balanced|small"),
        "max_width": Maybe(int),
        "max_height": Maybe(int),
        "fit": re.compile(r"inside|cover|pad"),
        "background": Maybe(re.compile(r"none|#[0-9a-f]{6}")),
    },
    "created_at": TIME,
    "started_at": Maybe(TIME),
    "finished_at": Maybe(TIME),
    "expires_at": Maybe(TIME),
    "status_url": URL,
    "result_url": URL,
    "images_url": URL,
    "archive_url": URL,
    "webhook": Maybe(
        {"url": Maybe(URL), "status": re.compile(r"pending|delivered|failed"), "attempts": int},
    ),
}
IMAGE_BODY = {
    "line": int,
    "serial": str,
    "product_name": TEXT,
    "position": int,
    "input_url": TEXT,
    "status": re.compile(r"pending|completed|failed|cancelled"),
    "output_url": Maybe(URL),
    "format": Maybe(re.compile(r"jpeg|png|webp|gif|avif")),
    "width": Maybe(int),
    "height": Maybe(int),
    "input_bytes": Maybe(int),
    "output_bytes": Maybe(int),
    "attempts": int,
    "error": Maybe({"code": ERROR_CODE, "message": TEXT, "http_status": Maybe(int)}),
}
DELIVERY_BODY = {
    "webhook_id": TEXT,
    "url": URL,
    "status": re.compile(r"pending|delivered|failed"),
    "attempts": Each({"at": TIME, "http_status": Maybe(int), "error": Maybe(TEXT), "seconds": (int, float)}),
    "next_attempt_at": Maybe(TIME),
}


def fits(value: Any, shape: Any, *, where: str = "body") -> None:
    """Assert that a JSON value has this shape: these fields and no others, each of its type."""
    if isinstance(shape, Maybe):
        if value is not None:
            fits(value, shape.shape, where=where)
    elif isinstance(shape, Each):
        assert isinstance(value, list), where
        for number, each in enumerate(value):
            fits(each, shape.shape, where=f"{where}[{number}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert set(value) == set(shape), where
        for name, each in shape.items():
            fits(value[name], each, where=f"{where}.{name}")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str), where
        assert shape.fullmatch(value), f"{where}: {value!r}"
    else:
        # a bool is an int for isinstance
        assert type(value) in (shape if isinstance(shape, tuple) else (shape,)), f"{where}: {value!r}"


@cache
def jpeg(seed: int, *, width: int = 96, height: int = 72) -> bytes:
    return photos.jpeg(seed=seed, width=width, height=height)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A running service; each picture and path that it hands out is new."""

    session: aiohttp.ClientSession
    origin: Origin
    port: int
    folder: Path
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def picture(self, **answer: Any) -> str:
        """Put a picture that no other is like at the image host; returns its URL."""
        number = next(self.numbers)
        return self.origin.add(f"/{number}.jpg", Answer(body=jpeg(number), **answer))

    def absent(self) -> str:
        """Return the URL of a picture that is not there."""
        return self.origin.url(f"/{next(self.numbers)}-is-not-there.jpg")

    async def post(self, rows: Sequence[Sequence[str]], **fields: str) -> Json:
        """Upload a CSV of these products; returns the upload body."""
        async with self.session.post("/upload", data=form(catalogue(rows), **fields)) as response:
            assert response.status == 202, await response.text()
            body: Json = await response.json()
            return body

    async def finished(self, rows: Sequence[Sequence[str]], **fields: str) -> str:
        """Upload a CSV and wait for its end; returns the request's id."""
        request_id = str((await self.post(rows, **fields))["request_id"])
        await self.settled(request_id)
        return request_id

    async def unfinished(self, *urls: str, **fields: str) -> tuple[str, asyncio.Event]:
        """Upload a CSV of these images and of one that comes when the event is set.

        Returns when that one is all that is missing.
        """
        gate = asyncio.Event()
        last = self.picture(gate=gate)
        request_id = str((await self.post([("One", *urls, last)], **fields))["request_id"])
        await self.origin.arrived(path_of(last))

        async def only_that() -> bool:
            return bool((await self.status(request_id))["images"]["pending"] == 1)

        await until(only_that)
        return request_id, gate

    async def settled(self, request_id: str) -> Json:
        """Wait for the final status."""
        headers = {"Prefer": "wait=60"}
        async with self.session.get(f"/status/{request_id}", headers=headers) as response:
            assert response.status == 200, await response.text()
            body: Json = await response.json()
            assert body["done"], body
            return body

    async def status(self, request_id: str) -> Json:
        return await self.json(f"/status/{request_id}")

    async def images(self, request_id: str, query: str = "") -> list[Json]:
        found: list[Json] = (await self.json(f"/requests/{request_id}/images{query}"))["data"]
        return found

    async def deliveries(self, request_id: str) -> list[Json]:
        found: list[Json] = (await self.json(f"/requests/{request_id}/deliveries"))["data"]
        return found

    async def rows(self, request_id: str, query: str = "") -> list[list[str]]:
        """Return the result's rows, that of the names first."""
        async with self.session.get(f"/result/{request_id}{query}") as response:
            assert response.status == 200, await response.text()
            return list(csv.reader(io.StringIO((await response.read()).decode(), newline="")))

    async def json(self, path: str, *, headers: Mapping[str, str] | None = None) -> Json:
        async with self.session.get(path, headers=headers) as response:
            text = await response.text()
            assert response.status == 200, text
            assert response.content_type == "application/json"
            body: Json = json.loads(text)
            return body

    async def code(self, method: str, path: str, **options: Any) -> int:
        """Return the status alone."""
        async with self.session.request(method, path, **options) as response:
            await response.read()
            return response.status

    async def refused(self, status: int, method: str, path: str, **options: Any) -> Mapping[str, str]:
        """Assert that this is answered with a problem of that status; returns the headers."""
        async with self.session.request(method, path, **options) as response:
            await problem(response, status)
            return response.headers


@asynccontextmanager
async def stage(
    folder: Path, *, origin: Origin | None = None, **sections: dict[str, Any]
) -> AsyncIterator[Stage]:
    """Run the service as `resizer serve` does, in this process, with settings of the test's."""
    # nothing here takes as long, however busy the machine is
    sections["fetch"] = {"connect_timeout": 30, "timeout": 60, **sections.get("fetch", {})}
    app = create_app(settings_for(folder, **sections))
    async with (
        listening(app) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        # goes first: whoever waits for it is let go, and the service need not wait to stop
        Origin() if origin is None else nullcontext(origin) as host,
    ):
        yield Stage(session=session, origin=host, port=port, folder=folder)


@asynccontextmanager
async def staged(folder: Path, engine: str, **sections: dict[str, Any]) -> AsyncIterator[Stage]:
    """Do the same with this engine; what the distributed one needs is started too."""
    async with AsyncExitStack() as stack:
        if engine == "celery":
            sections["engine"] = (await stack.enter_async_context(cluster(folder))).engine
        yield await stack.enter_async_context(stage(folder, origin=None, **sections))


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so; the test's limit of time ends it."""
    while not await look():  # noqa: ASYNC110 - what a client cannot be told, it has to ask for
        await asyncio.sleep(0.01)


def path_of(url: str) -> str:
    """Return what of a URL the image host sees."""
    return "/" + url.split("/", 3)[3]
