"""A real database with deliveries, scripted receivers, and an outbox between them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from databases import opened_database
from resizer.config import WebhookSettings
from resizer.database import Database, Deliveries, NewBatch, NewDelivery
from resizer.errors import ErrorCode
from resizer.metrics import Metrics
from resizer.models import (
    Attempt,
    Batch,
    Delivery,
    DeliveryStatus,
    Fault,
    Outcome,
    OutputFormat,
    Product,
    Recipe,
)
from resizer.webhooks.outbox import DeliveryStore, Outbox, receiver_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type": "request.completed", "timestamp": "2026-01-31T12:00:00Z", "data": {}}'
PATIENCE = 15.0  # seconds until a test fails

Record = tuple[Attempt, DeliveryStatus, float | None]


class Watched:
    """The deliveries of the real database, and the outbox's operations on them."""

    def __init__(self, deliveries: Deliveries, database: Database, planned: list[NewDelivery]) -> None:
        self.deliveries = deliveries
        self.database = database
        self.planned = planned
        self.recorded: asyncio.Queue[Record] = asyncio.Queue()
        self.looked: asyncio.Queue[int] = asyncio.Queue()

    async def due_deliveries(
        self, now: float, *, limit: int, without_hosts: Collection[str]
    ) -> Sequence[Delivery]:
        due = await self.deliveries.due_deliveries(now, limit=limit, without_hosts=without_hosts)
        self.looked.put_nowait(len(due))
        return due

    async def next_delivery_at(self) -> float | None:
        return await self.deliveries.next_delivery_at()

    async def bring_forward(self, now: float, *, first_delay: float) -> int:
        return await self.deliveries.bring_forward(now, first_delay=first_delay)

    async def record_attempt(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: float | None
    ) -> None:
        await self.deliveries.record_attempt(
            delivery, attempt, status=status, next_attempt_at=next_attempt_at
        )
        self.recorded.put_nowait((attempt, status, next_attempt_at))

    async def record(self) -> Record:
        """Wait for the next try that was recorded."""
        return await asyncio.wait_for(self.recorded.get(), PATIENCE)

    async def looks(self, times: int) -> None:
        """Wait for this many further looks of the outbox."""
        while not self.looked.empty():
            self.looked.get_nowait()
        for _ in range(times):
            await asyncio.wait_for(self.looked.get(), PATIENCE)

    async def add(self, *urls: str, first: int = 1, due_in: float = 0.0) -> int:
        """Finish a batch with webhooks to these URLs, with the ids msg_1, msg_2, …; returns its id."""
        self.planned[:] = [
            NewDelivery(
                webhook_id=f"msg_{number}",
                url=url,
                host=receiver_of(url),
                body=BODY,
                # a millisecond apart, so that one is older than the other
                first_attempt_at=time.time() + due_in + (number - first - len(urls)) / 1000,
            )
            for number, url in enumerate(urls, first)
        ]
        new = NewBatch(
            filename="products.csv",
            columns=(),
            digest="",
            recipe=Recipe(quality=50, format=OutputFormat.KEEP),
            webhook_url=None,
            origin="",
            files_url="",
        )
        async with self.database.intake(new, max_pending=1) as intake:
            await intake.add([Product(line=2, serial="1", name="A", cells=(), urls=("http://a.test/",))])
            batch, _ = await intake.publish()
        fault = Fault(code=ErrorCode.DNS, message="")
        await self.database.record(Outcome(batch_id=batch.id, seq=0, attempts=1, fault=fault))
        return batch.id

    async def forget(self, batch_id: int) -> None:
        async def delete(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM batches WHERE id = ?", (batch_id,))

        await self.database.writer.run(delete)

    async def of_batches(self, *batch_ids: int) -> list[Delivery]:
        return await self.deliveries.of_batches(*batch_ids)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Watched]:
    planned: list[NewDelivery] = []

    def announce(batch: Batch) -> Iterable[NewDelivery]:
        del batch
        return planned

    async with opened_database(tmp_path / "resizer.db", webhook_events=announce) as database:
        yield Watched(database.deliveries, database, planned)


class Hook:
    """A receiver with scripted responses that records its requests."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.called = asyncio.Semaphore(0)
        self.answers: list[web.Response] = []
        #: responses wait until it is set
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = 0
        self.most_inside = 0
        self.url = ""

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.calls]

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append((headers, await request.read()))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.called.release()
        await self.gate.wait()
        self.inside -= 1
        return self.answers.pop(0) if self.answers else web.Response(status=204)

    async def wait_for_calls(self, number: int) -> None:
        for _ in range(number):
            await asyncio.wait_for(self.called.acquire(), PATIENCE)


NewHook = Callable[..., Awaitable[Hook]]


@pytest.fixture
async def new_hook(aiohttp_server: AiohttpServer) -> AsyncIterator[NewHook]:
    hooks: list[Hook] = []

    async def start(*answers: web.Response) -> Hook:
        hook = Hook()
        hook.answers = list(answers)
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", hook.handle)
        server = await aiohttp_server(app)
        hook.url = str(server.make_url("/hook"))
        hooks.append(hook)
        return hook

    yield start
    for hook in hooks:
        hook.gate.set()


@asynccontextmanager
async def running(
    store: DeliveryStore,
    *,
    networks: Sequence[str] = ("127.0.0.0/8",),
    secret: str = SECRET,
    **settings: Any,
) -> AsyncIterator[Outbox]:
    allowed = tuple(ip_network(network) for network in networks)
    async with Outbox(
        store, WebhookSettings(allow_networks=allowed, **settings), secret, metrics=Metrics()
    ) as outbox:
        yield outbox
