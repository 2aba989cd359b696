"""Failed deliveries are retried on schedule, and every try is recorded."""

import socket
import sqlite3
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

import outbox_stage
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from outbox_stage import SECRET, NewHook, Watched, running

from inward import LOOPBACK_SPELLINGS, SPECIAL, Canary, Names, edges
from resizer.models import Attempt, Delivery, DeliveryStatus
from resizer.webhooks import outbox as module
from resizer.webhooks.outbox import LONGEST_RETRY_AFTER
from resizer.webhooks.signing import verify

# pytest finds fixtures among a module's names
store, new_hook = outbox_stage.store, outbox_stage.new_hook

DELIVERED, PENDING, FAILED = DeliveryStatus.DELIVERED, DeliveryStatus.PENDING, DeliveryStatus.FAILED


def in_http_form(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


async def test_failing_receiver_is_tried_until_the_schedule_ends(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook(*(web.Response(status=status) for status in (500, 404, 503)))
    batch = await store.add(hook.url)

    async with running(store, schedule=(0, 0.01, 0.02)):
        states = [(await store.record())[1] for _ in range(3)]
        await store.looks(1)

    assert states == [PENDING, PENDING, FAILED]
    assert hook.ids == ["msg_1"] * 3
    (delivery,) = await store.of_batches(batch)
    assert (delivery.status, delivery.next_attempt_at) == (FAILED, None)
    assert [attempt.http_status for attempt in delivery.attempts] == [500, 404, 503]
    assert [attempt.error for attempt in delivery.attempts] == [
        f"127.0.0.1 answered with status {status}" for status in (500, 404, 503)
    ]


async def test_each_try_has_the_same_id_and_a_signature_of_its_own(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook(web.Response(status=500))
    await store.add(hook.url)

    # a timestamp counts whole seconds
    async with running(store, schedule=(0, 1.01)):
        await store.record()
        await store.record()

    (first, body), (second, same_body) = hook.calls
    assert body == same_body
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) > int(first["webhook-timestamp"])
    assert second["webhook-signature"] != first["webhook-signature"]
    assert verify(SECRET, first, body) == verify(SECRET, second, body)


async def test_redirect_is_not_followed(new_hook: NewHook, store: Watched) -> None:
    canary = await new_hook()
    redirects = [
        web.Response(status=status, headers={"Location": canary.url}) for status in (301, 302, 307, 308)
    ]
    hook = await new_hook(*redirects)
    await store.add(hook.url)

    async with running(store, schedule=(0,) * 4):
        records = [await store.record() for _ in range(4)]

    assert [state for _, state, _ in records] == [PENDING, PENDING, PENDING, FAILED]
    assert [attempt.http_status for attempt, *_ in records] == [301, 302, 307, 308]
    assert "a redirect, which is not followed" in (records[0][0].error or "")
    assert canary.calls == []


async def test_410_ends_the_delivery(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook(web.Response(status=410))
    await store.add(hook.url)

    async with running(store, schedule=(0, 0, 0)):
        attempt, state, next_at = await store.record()
        await store.looks(1)

    assert (attempt.http_status, state, next_at) == (410, FAILED, None)
    assert len(hook.calls) == 1


@pytest.mark.parametrize(
    "retry_after, soonest, latest",
    [
        (None, 1000, 1100),
        ("", 1000, 1100),
        ("soon", 1000, 1100),
        ("-5", 1000, 1100),
        ("10", 1000, 1100),
        ("2000", 2000, 2200),
        ("9999999", LONGEST_RETRY_AFTER, LONGEST_RETRY_AFTER),
        (in_http_form(0), 1000, 1100),
        ("in an hour", 3590, 3960),
    ],
)
async def test_next_try_is_due_at_the_later_of_schedule_and_retry_after(
    retry_after: str | None, soonest: float, latest: float, new_hook: NewHook, store: Watched
) -> None:
    if retry_after == "in an hour":
        retry_after = in_http_form(time.time() + 3600)
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    hook = await new_hook(web.Response(status=503, headers=headers))
    batch = await store.add(hook.url)

    async with running(store, schedule=(0, 1000)):
        attempt, state, next_at = await store.record()

    assert state == PENDING
    assert next_at is not None
    assert attempt.at + soonest <= next_at <= time.time() + latest
    (delivery,) = await store.of_batches(batch)
    assert delivery.next_attempt_at == next_at


async def test_receiver_that_takes_too_long_is_tried_again(new_hook: NewHook, store: Watched) -> None:
    hook = await new_hook()
    hook.gate.clear()
    await store.add(hook.url)

    async with running(store, schedule=(0, 0.01), timeout=0.2):
        attempt, state, _ = await store.record()
        hook.gate.set()
        _, later_state, _ = await store.record()

    assert (attempt.http_status, state, later_state) == (None, PENDING, DELIVERED)
    assert attempt.error == "127.0.0.1 took longer than 0.2 s; webhook.timeout sets the limit"
    assert attempt.seconds >= 0.2


async def test_address_that_is_not_public_is_never_connected_to(
    store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    hosts = [
        *LOOPBACK_SPELLINGS,
        *(
            names.add(f"h{number}-{place}.example", [address])
            for number, network in enumerate(SPECIAL)
            for place, address in enumerate(edges(network))
        ),
    ]
    async with Canary() as canary, running(store, networks=()) as outbox:
        await store.add(*[f"http://{host}:{canary.port}/hook" for host in hosts])
        outbox.wake()
        for _ in hosts:
            attempt, state, _ = await store.record()
            assert (attempt.http_status, state) == (None, PENDING)
            assert "add its network to webhook.allow_networks" in (attempt.error or "")
        assert canary.reached == 0


async def test_faults_of_the_connection_are_recorded_and_tried_again(
    new_hook: NewHook, store: Watched
) -> None:
    hook = await new_hook()
    nobody = f"http://127.0.0.1:{unused_port()}/"
    no_tls = hook.url.replace("http:", "https:")
    messages = {}

    for number, url in enumerate((nobody, no_tls, "http://", "ftp://example.com/", "nonsense"), 1):
        await store.add(url, first=number)
        async with running(store):
            attempt, state, _ = await store.record()
        assert (attempt.http_status, state) == (None, PENDING)
        messages[url] = attempt.error or ""

    assert "the connection to 127.0.0.1 failed" in messages[nobody]
    assert "TLS" in messages[no_tls]
    for url in ("http://", "ftp://example.com/", "nonsense"):
        assert "not a valid URL" in messages[url]


async def test_fault_of_our_own_counts_as_a_try(
    new_hook: NewHook, store: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the delivery would be due again at once, for ever."""
    hook = await new_hook()
    await store.add(hook.url)

    async with running(store, secret="whsec_", schedule=(0, 0)):
        records = [await store.record() for _ in range(2)]

    assert [state for _, state, _ in records] == [PENDING, FAILED]
    assert records[0][0].error == "an internal error; the server's log has the details"
    assert caplog.text.count("cannot send event msg_1") == 2
    assert hook.calls == []


async def test_try_that_cannot_be_recorded_is_kept_and_recorded_later(
    new_hook: NewHook, store: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Watched):
        faults = 2

        async def record_attempt(
            self,
            delivery: Delivery,
            attempt: Attempt,
            *,
            status: DeliveryStatus,
            next_attempt_at: float | None,
        ) -> None:
            if self.faults:
                self.faults -= 1
                raise sqlite3.OperationalError("database or disk is full")
            await super().record_attempt(delivery, attempt, status=status, next_attempt_at=next_attempt_at)

    hook = await new_hook()
    full = Full(store.deliveries, store.database, store.planned)
    batch = await full.add(hook.url)

    async with running(full):
        await full.record()

    assert hook.ids == ["msg_1"]
    assert caplog.text.count("cannot record a webhook try: database or disk is full; retrying") == 2
    (delivery,) = await full.of_batches(batch)
    assert (delivery.status, len(delivery.attempts)) == (DELIVERED, 1)


async def test_database_that_cannot_be_read_is_asked_again(
    new_hook: NewHook, store: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(Watched):
        faults = 2

        async def due_deliveries(self, now: float, **options: Any) -> Sequence[Delivery]:
            if self.faults:
                self.faults -= 1
                raise sqlite3.OperationalError("disk I/O error")
            return await super().due_deliveries(now, **options)

    monkeypatch.setattr(module, "STORE_PAUSE", 0.01)
    hook = await new_hook()
    unreadable = Unreadable(store.deliveries, store.database, store.planned)
    await unreadable.add(hook.url)

    async with running(unreadable):
        await unreadable.record()

    assert hook.ids == ["msg_1"]
    assert caplog.text.count("cannot read the due webhook events") == 2


async def test_delivery_that_is_deleted_under_way_does_no_harm(new_hook: NewHook, store: Watched) -> None:
    hook, other = await new_hook(), await new_hook()
    hook.gate.clear()
    batch = await store.add(hook.url)

    async with running(store) as outbox:
        await hook.wait_for_calls(1)
        await store.forget(batch)
        hook.gate.set()
        await store.record()
        await store.add(other.url, first=2)
        outbox.wake()
        await store.record()

    assert other.ids == ["msg_2"]
    assert await store.of_batches(batch) == []
