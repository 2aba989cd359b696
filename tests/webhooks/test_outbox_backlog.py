"""Events that fell due while the service was down are sent at the start: all, once, and few at a time."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator

import outbox_stage
import pytest
from aiohttp import web
from outbox_stage import Hook, NewHook, Watched, running

from resizer.models import Attempt, DeliveryStatus
from resizer.webhooks import outbox as module
from resizer.webhooks.outbox import TRIES, TRIES_PER_HOST, receiver_of

# pytest finds fixtures among a module's names
store, new_hook = outbox_stage.store, outbox_stage.new_hook

DELIVERED, PENDING = DeliveryStatus.DELIVERED, DeliveryStatus.PENDING
TEN_YEARS = 10 * 365 * 86400.0  # seconds
HOUR = 3600.0


@contextlib.asynccontextmanager
async def receivers(number: int) -> AsyncIterator[tuple[Hook, list[str]]]:
    """One hook behind many ports; each port is a receiver of its own."""
    hook = Hook()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        for _ in range(number):
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield hook, [f"http://127.0.0.1:{address[1]}/" for address in runner.addresses]
    finally:
        hook.gate.set()
        await runner.cleanup()


async def test_all_that_is_due_at_one_receiver_arrives_once_and_four_at_a_time(
    new_hook: NewHook, store: Watched
) -> None:
    hook = await new_hook()
    batch = await store.add(*[hook.url] * 500)

    async with running(store):
        for _ in range(500):
            await store.record()

    assert Counter(hook.ids) == {f"msg_{number}": 1 for number in range(1, 501)}
    assert hook.most_inside <= TRIES_PER_HOST
    assert {delivery.status for delivery in await store.of_batches(batch)} == {DELIVERED}


async def test_all_that_is_due_at_many_receivers_keeps_within_the_bound(store: Watched) -> None:
    async with receivers(100) as (hook, urls):
        hook.gate.clear()
        await store.add(*urls * 3)

        async with running(store) as outbox:
            await hook.wait_for_calls(TRIES)
            for _ in range(3):
                outbox.wake()
                await asyncio.sleep(0.01)  # time in which it could send more
            assert hook.inside == TRIES
            hook.gate.set()
            for _ in range(300):
                await store.record()

        assert hook.most_inside <= TRIES
        assert sorted(Counter(hook.ids).values()) == [1] * 300


async def test_thousands_of_events_of_a_receiver_that_hangs_hold_up_no_other(
    new_hook: NewHook, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are older than the other receiver's event, and were due before the start."""
    monkeypatch.setattr(module, "LOOK", 600)  # the first look finds it
    hanging, living = await new_hook(), await new_hook()
    hanging.gate.clear()
    await store.add(*[hanging.url] * 5000, living.url)

    async with running(store):
        attempt, state, _ = await store.record()
        assert (attempt.http_status, state) == (204, DELIVERED)
        assert living.ids == ["msg_5001"]
        assert len(hanging.calls) <= TRIES_PER_HOST
        hanging.gate.set()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/a",
        "HTTP://127.0.0.1:8080",
        "http://u:p@127.0.0.1:8080/b?c#d",
        "http://2130706433:8080/",
        "http://0x7f.1.:8080/",
        "http://①②⑦.⓪.⓪.①:8080/",
    ],
)
def test_receiver_is_the_same_however_it_is_spelled(url: str) -> None:
    assert receiver_of(url) == "127.0.0.1:8080"


def test_receivers_are_told_apart() -> None:
    urls = ["http://a/", "https://a/", "http://a:81/", "http://b/", "nonsense"]
    assert len({receiver_of(url) for url in urls}) == len(urls)
    assert receiver_of("http://A.:80/") == receiver_of("http://a/")


async def test_event_of_a_clock_that_was_ahead_is_sent_at_the_next_start(
    new_hook: NewHook, store: Watched
) -> None:
    """Written by a clock years ahead, it would be due only then."""
    hook = await new_hook()
    await store.add(hook.url, due_in=TEN_YEARS)

    async with running(store, schedule=(0, 5)):
        _, state, _ = await store.record()

    assert state == DELIVERED
    assert hook.ids == ["msg_1"]


async def test_retry_of_a_clock_that_was_ahead_is_made_at_the_next_start(
    new_hook: NewHook, store: Watched
) -> None:
    hook = await new_hook()
    batch = await store.add(hook.url)
    (delivery,) = await store.of_batches(batch)
    for at in (
        time.time() - HOUR,
        time.time() + TEN_YEARS,
    ):  # set forward between the tries, and back after them
        attempt = Attempt(at=at, http_status=500, error="it failed", seconds=0.1)
        await store.deliveries.record_attempt(delivery, attempt, status=PENDING, next_attempt_at=at + HOUR)

    async with running(store):
        _, state, _ = await store.record()

    assert state == DELIVERED


async def test_retry_and_first_try_that_wait_as_they_should_are_left_waiting(
    new_hook: NewHook, store: Watched
) -> None:
    hook = await new_hook()
    tried = await store.add(hook.url)
    (delivery,) = await store.of_batches(tried)
    attempt = Attempt(at=time.time() - 1, http_status=500, error="it failed", seconds=0.1)
    due = time.time() + 24 * HOUR
    await store.deliveries.record_attempt(delivery, attempt, status=PENDING, next_attempt_at=due)
    untried = await store.add(hook.url, first=2, due_in=HOUR)
    before = [*await store.of_batches(tried), *await store.of_batches(untried)]

    async with running(store, schedule=(HOUR, 24 * HOUR)):
        await store.looks(1)

    assert [*await store.of_batches(tried), *await store.of_batches(untried)] == before
    assert hook.calls == []


async def test_clock_that_was_put_forward_makes_all_due_and_loses_none(
    new_hook: NewHook, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await new_hook()
    await store.add(*[hook.url] * 20, due_in=HOUR)
    system = time.time
    monkeypatch.setattr(time, "time", lambda: system() + TEN_YEARS)

    async with running(store, schedule=(HOUR, 5)):
        for _ in range(20):
            await store.record()

    assert len(set(hook.ids)) == 20
    assert hook.most_inside <= TRIES_PER_HOST
