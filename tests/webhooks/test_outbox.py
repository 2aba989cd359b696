"""Due events are sent, once at a time, to every receiver."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

import outbox_stage
import pytest
from aiohttp import web
from outbox_stage import BODY, PATIENCE, SECRET, NewHook, Watched, running
from pytest_aiohttp.plugin import AiohttpClient, AiohttpServer

from resizer.models import Attempt, Delivery, DeliveryStatus
from resizer.version import VERSION
from resizer.webhooks import outbox as module
from resizer.webhooks.outbox import PAGE, TRIES_PER_HOST
from resizer.webhooks.receiver import create_receiver
from resizer.webhooks.signing import verify

# pytest finds fixtures among a module's names
store, new_hook = outbox_stage.store, outbox_stage.new_hook

DELIVERED, PENDING = DeliveryStatus.DELIVERED, DeliveryStatus.PENDING


async def test_event_arrives_at_the_bundled_receiver(aiohttp_client: AiohttpClient, store: Watched) -> None:
    client = await aiohttp_client(create_receiver(SECRET))
    batch = await store.add(str(client.make_url("/webhook")))

    async with running(store):
        await store.record()

    async with client.get("/events") as response:
        (event,) = (await response.json())["data"]
    assert (event["webhook_id"], event["type"], event["received"]) == ("msg_1", "request.completed", 1)
    (delivery,) = await store.of_batches(batch)
    assert (delivery.status, delivery.next_attempt_at) == (DELIVERED, None)
    assert delivery.attempts == (Attempt(at=ANY, http_status=204, error=None, seconds=ANY),)


async def test_request_is_a_signed_post_of_json(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()
    await store.add(hook.url)

    async with running(store):
        await store.record()

    ((headers, body),) = hook.calls
    assert body.decode() == BODY
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"resizer/{VERSION}"
    assert verify(SECRET, headers, body)["type"] == "request.completed"


@pytest.mark.parametrize("status", [200, 202, 299])
async def test_every_2xx_is_delivered(status: int, new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook(web.Response(status=status, text="thank you"))
    await store.add(hook.url)

    async with running(store):
        attempt, state, next_at = await store.record()

    assert (attempt.http_status, attempt.error, state, next_at) == (status, None, DELIVERED, None)


async def test_waking_sends_what_was_written_meanwhile(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()

    async with running(store) as outbox:
        await store.looks(1)
        await store.add(hook.url)
        outbox.wake()
        await store.record()

    assert hook.ids == ["msg_1"]


async def test_event_is_not_sent_before_it_is_due(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()
    due = time.time() + 0.3
    await store.add(hook.url, due_in=0.302)

    async with running(store):
        attempt, *_ = await store.record()

    assert attempt.at >= due


async def test_event_that_falls_due_is_sent_while_another_hangs(new_hook: NewHook, store: Watched) -> None:
    hanging, living = await new_hook(), await new_hook()
    hanging.gate.clear()
    await store.add(hanging.url)
    await store.add(living.url, first=2, due_in=0.3)

    async with running(store):
        await store.record()
        assert living.ids == ["msg_2"]
        assert hanging.inside == 1
        hanging.gate.set()


async def test_database_is_not_asked_without_pause_while_a_receiver_hangs(
    new_hook: NewHook, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earliest due time is in the past for as long as the try lasts."""
    monkeypatch.setattr(module, "LOOK", 0.2)
    hook = await new_hook()
    hook.gate.clear()
    await store.add(hook.url)

    async with running(store):
        await hook.wait_for_calls(1)
        await store.looks(1)
        before = asyncio.get_running_loop().time()
        await store.looks(1)
        # a lower bound, which a slow machine cannot break
        assert asyncio.get_running_loop().time() - before > 0.1
        hook.gate.set()


async def test_receiver_that_hangs_holds_up_no_other(new_hook: NewHook, store: Watched) -> None:
    """Not even with more events for it than one look reads."""
    hanging, living = await new_hook(), await new_hook()
    hanging.gate.clear()
    await store.add(*[hanging.url] * (PAGE + 20))

    async with running(store) as outbox:
        await hanging.wait_for_calls(TRIES_PER_HOST)
        await store.add(living.url, first=9001)
        outbox.wake()
        attempt, *_ = await store.record()
        assert attempt.http_status == 204
        assert living.ids == ["msg_9001"]
        assert len(hanging.calls) == TRIES_PER_HOST
        hanging.gate.set()


async def test_backlog_goes_out_oldest_first_and_few_at_a_time(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()
    await store.add(*[hook.url] * 50)

    async with running(store):
        for _ in range(50):
            await store.record()

    numbers = [int(webhook_id.removeprefix("msg_")) for webhook_id in hook.ids]
    assert sorted(numbers) == list(range(1, 51))
    assert all(number <= place + TRIES_PER_HOST for place, number in enumerate(numbers, 1))
    assert hook.most_inside <= TRIES_PER_HOST


async def test_event_under_way_is_not_sent_again(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()
    hook.gate.clear()
    await store.add(hook.url)

    async with running(store) as outbox:
        await hook.wait_for_calls(1)
        for _ in range(3):
            outbox.wake()
            await store.looks(1)
        hook.gate.set()
        await store.record()
        await store.looks(1)

    assert hook.ids == ["msg_1"]


async def test_event_delivered_while_rows_are_read_is_not_sent_again(
    new_hook: NewHook, store: Watched
) -> None:
    class Slow(Watched):
        go = asyncio.Event()

        async def due_deliveries(self, now: float, **options: Any) -> Sequence[Delivery]:
            due = await super().due_deliveries(now, **options)
            await self.go.wait()
            return due

    hook = await new_hook()
    hook.gate.clear()
    slow = Slow(store.deliveries, store.database, store.planned)
    await slow.add(hook.url)

    slow.go.set()
    async with running(slow) as outbox:
        await hook.wait_for_calls(1)
        slow.go.clear()
        outbox.wake()
        await slow.looks(1)
        hook.gate.set()
        _, state, _ = await slow.record()
        slow.go.set()
        await slow.looks(1)

    assert state == DELIVERED
    assert hook.ids == ["msg_1"]


async def test_try_cut_off_by_a_stop_is_made_again_at_the_next_start(
    new_hook: NewHook, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.05)
    hook = await new_hook()
    hook.gate.clear()
    batch = await store.add(hook.url)

    async with running(store):
        await hook.wait_for_calls(1)
    (delivery,) = await store.of_batches(batch)
    assert (delivery.status, delivery.attempts) == (PENDING, ())

    hook.gate.set()
    async with running(store):
        await store.record()
    (delivery,) = await store.of_batches(batch)
    assert (delivery.status, len(delivery.attempts)) == (DELIVERED, 1)
    assert hook.ids == ["msg_1", "msg_1"]


async def test_answer_that_comes_while_stopping_is_recorded(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()
    hook.gate.clear()
    batch = await store.add(hook.url)

    async with running(store):
        await hook.wait_for_calls(1)
        asyncio.get_running_loop().call_later(0.05, hook.gate.set)

    (delivery,) = await store.of_batches(batch)
    assert delivery.status == DELIVERED


async def test_endless_answer_is_not_read(aiohttp_server: AiohttpServer, store: Watched) -> None:
    closed = asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            closed.set()

    app = web.Application()
    app.router.add_post("/", pour)
    server = await aiohttp_server(app)
    await store.add(str(server.make_url("/")))

    async with running(store):
        _, state, _ = await store.record()
        assert state == DELIVERED
        await asyncio.wait_for(closed.wait(), PATIENCE)


async def test_log_holds_neither_secret_nor_credentials_nor_query(
    new_hook: NewHook, store: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="resizer")
    hook = await new_hook(web.Response(status=500))
    url = hook.url.replace("//", "//user:pass-word@") + "?token=to-ken"
    await store.add(url)

    async with running(store, schedule=(0, 0.01)):
        await store.record()
        await store.record()

    assert [headers["authorization"] for headers, _ in hook.calls] == ["Basic dXNlcjpwYXNzLXdvcmQ="] * 2
    assert "event msg_1 was delivered" in caplog.text
    for private in ("pass-word", "to-ken", SECRET.removeprefix("whsec_")):
        assert private not in caplog.text
