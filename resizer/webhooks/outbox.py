"""Send the webhook events that are due, and retry them on a schedule."""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from typing import Protocol, Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from resizer.config import WebhookSettings
from resizer.errors import FetchTimeout, HttpStatusError, ImageError
from resizer.fetch.addresses import AddressPolicy
from resizer.fetch.session import open_session, translate
from resizer.fetch.url_parser import parse_url, redact
from resizer.metrics import Metrics
from resizer.models import Attempt, Delivery, DeliveryStatus
from resizer.support.background import BackgroundTasks, FailureLog, Periodic
from resizer.support.failpoints import Point, reach
from resizer.support.log_context import log_request_id
from resizer.support.retry_after import seconds_to_wait
from resizer.version import VERSION
from resizer.webhooks.signing import sign

logger = logging.getLogger(__name__)

TRIES = 64  # concurrent; each is one socket that mostly waits
TRIES_PER_HOST = 4  # concurrent; it takes 16 receivers that hang to hold up a seventeenth
#: rows read at once; more than the tries under way, which may be among the rows
PAGE = 2 * TRIES
LOOK = 1.0  # seconds between looks while tries are under way: the earliest due time is then theirs
CLOCK_SLACK = 60.0  # seconds a clock may be set back without effect
LONGEST_SLEEP = 60.0  # seconds; the clock may be set in between
STORE_PAUSE = 5.0  # seconds between tries to read the database
GRACE = (
    2.0  # seconds for tries under way at the end: enough for a response, too short for a receiver that hangs
)
JITTER = 0.1  # of the delay, so that events that failed together are not retried together
LONGEST_RETRY_AFTER = 24 * 3600.0  # seconds; as long as the longest delay of the default schedule
RESPONSE_BUFFER = 4096  # bytes; at most twice as many are received of a body, which is not read


class DeliveryStore(Protocol):
    """The operations of the database that the outbox uses."""

    async def due_deliveries(
        self, now: float, *, limit: int, without_hosts: Collection[str]
    ) -> Sequence[Delivery]: ...

    async def next_delivery_at(self) -> float | None: ...

    async def bring_forward(self, now: float, *, first_delay: float) -> int: ...

    async def record_attempt(
        self, delivery: Delivery, attempt: Attempt, *, status: DeliveryStatus, next_attempt_at: float | None
    ) -> None: ...


class Outbox:
    """Sends deliveries when they are due, from `async with` to its end.

    A try is recorded after it was made; after a crash in between it is repeated with the same webhook-id.
    An event therefore arrives at least once.
    """

    def __init__(
        self, store: DeliveryStore, settings: WebhookSettings, secret: str, *, metrics: Metrics
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._settings = settings
        self._secret = secret
        self._policy = AddressPolicy(networks=settings.allow_networks, setting="webhook.allow_networks")
        #: ids of deliveries whose try is under way, and their number by host
        self._under_way: set[int] = set()
        self._hosts: Counter[str] = Counter()
        self._interrupted = 0
        self._clock_is_checked = False
        self._tries = BackgroundTasks(grace=GRACE)
        self._loop = Periodic(self._start_due, FailureLog("read the due webhook events", retry=STORE_PAUSE))
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(
            open_session(
                self._policy,
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
                headers={"User-Agent": f"resizer/{VERSION}", "Content-Type": "application/json"},
                read_bufsize=RESPONSE_BUFFER,
            )
        )
        await self._stack.enter_async_context(self._tries)
        await self._stack.enter_async_context(self._loop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        if self._interrupted:
            logger.info("interrupted %d webhook tries; the next start repeats them", self._interrupted)

    def wake(self) -> None:
        """Look for due deliveries now: one was written."""
        self._loop.wake()

    async def _check_clock(self) -> None:
        """Once after the start, bring forward deliveries that a clock set back would hold up."""
        if self._clock_is_checked:
            return
        first_delay = self._settings.schedule[0] + CLOCK_SLACK
        moved = await self._store.bring_forward(time.time(), first_delay=first_delay)
        if moved:
            logger.warning("the clock was set back; sending %d webhook events now", moved)
        self._clock_is_checked = True

    async def _start_due(self) -> float:
        """Start each due try for which a slot is free; returns the seconds until the next look."""
        await self._check_clock()
        more = True
        while more and len(self._under_way) < TRIES:
            # rows show a try that ends while they are read as it was before
            stale = set(self._under_way)
            full = [host for host, tries in self._hosts.items() if tries >= TRIES_PER_HOST]
            due = await self._store.due_deliveries(time.time(), limit=PAGE, without_hosts=full)
            for delivery in due:
                if delivery.id not in stale and self._has_slot(delivery.host):
                    self._start(delivery)
            # receivers that are full by now may account for a whole page; later rows may be others'
            more = len(due) == PAGE
        if self._under_way:
            return LOOK
        at = await self._store.next_delivery_at()
        return LONGEST_SLEEP if at is None else min(max(at - time.time(), 0.0), LONGEST_SLEEP)

    def _has_slot(self, host: str) -> bool:
        return len(self._under_way) < TRIES and self._hosts[host] < TRIES_PER_HOST

    def _start(self, delivery: Delivery) -> None:
        self._under_way.add(delivery.id)
        self._hosts[delivery.host] += 1
        with log_request_id(delivery.request_id):
            self._tries.begin(self._try(delivery)).add_done_callback(partial(self._ended, delivery))

    def _ended(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._under_way.remove(delivery.id)
        self._hosts[delivery.host] -= 1
        if not self._hosts[delivery.host]:
            del self._hosts[delivery.host]
        self._interrupted += task.cancelled()
        self.wake()

    async def _try(self, delivery: Delivery) -> None:
        reach(Point.WEBHOOK_DUE)
        attempt, retry_after = await self._send(delivery)
        reach(Point.WEBHOOK_SENT)
        status, next_at = self._verdict(delivery, attempt, retry_after)
        number, url = len(delivery.attempts) + 1, redact(delivery.url)
        if attempt.error is None:
            self._metrics.webhook_tried("delivered")
            logger.info("event %s was delivered to %s at try %d", delivery.webhook_id, url, number)
        else:
            self._metrics.webhook_tried("given_up" if next_at is None else "failed")
            further = "giving up" if next_at is None else f"retrying in {next_at - time.time():.0f} s"
            logger.warning(
                "event %s to %s failed at try %d: %s; %s",
                delivery.webhook_id,
                url,
                number,
                attempt.error,
                further,
            )
        # the try keeps its slot until it is recorded: a full disk stops the sending instead of repeating it
        persist = AsyncRetrying(wait=wait_exponential(0.25, max=30), before_sleep=_log_unrecorded)
        await persist(self._store.record_attempt, delivery, attempt, status=status, next_attempt_at=next_at)

    async def _send(self, delivery: Delivery) -> tuple[Attempt, float | None]:
        at, started = time.time(), time.monotonic()
        http_status = retry_after = error = None
        try:
            url = parse_url(delivery.url)
            response = await self._session.post(
                url,
                data=delivery.body.encode(),
                headers=sign(self._secret, delivery.webhook_id, int(at), delivery.body),
                allow_redirects=False,
                auto_decompress=False,
            )
            # the body is not read: the connection is closed, or kept if the body has ended already
            response.release()
            http_status = response.status
            error = _rejection(url.host or "", http_status)
            retry_after = seconds_to_wait(response.headers.get("Retry-After", "")) if error else None
        except ImageError as fault:
            error = str(fault)
        except TimeoutError:
            error = str(FetchTimeout(url.host or "", self._settings.timeout, "webhook.timeout"))
        except (aiohttp.ClientError, OSError) as fault:
            error = str(translate(fault, url, self._policy))
        except Exception:
            # counted as a try, so that the delivery is not due again at once
            logger.exception("cannot send event %s", delivery.webhook_id)
            error = "an internal error; the server's log has the details"
        seconds = time.monotonic() - started
        return Attempt(at=at, http_status=http_status, error=error, seconds=seconds), retry_after

    def _verdict(
        self, delivery: Delivery, attempt: Attempt, retry_after: float | None
    ) -> tuple[DeliveryStatus, float | None]:
        if attempt.error is None:
            return DeliveryStatus.DELIVERED, None
        tried = len(delivery.attempts) - delivery.earlier_tries + 1
        schedule = self._settings.schedule
        if attempt.http_status == HTTPStatus.GONE or tried >= len(schedule):
            return DeliveryStatus.FAILED, None
        stretch = 1 + random.uniform(0, JITTER)  # noqa: S311 - no secret
        asked = min((retry_after or 0) * stretch, LONGEST_RETRY_AFTER)
        return DeliveryStatus.PENDING, time.time() + max(schedule[tried] * stretch, asked)


def receiver_of(url: str) -> str:
    """Return the host and port of a URL, the same for each spelling; empty if it is not a URL."""
    with contextlib.suppress(ImageError):
        parsed = parse_url(url)
        return f"{(parsed.host or '').rstrip('.')}:{parsed.port}"
    return ""


def _rejection(host: str, status: int) -> str | None:
    if 200 <= status <= 299:  # noqa: PLR2004
        return None
    text = str(HttpStatusError(host, status))
    if 300 <= status <= 399:  # noqa: PLR2004
        return f"{text}, a redirect, which is not followed; use the URL it leads to"
    if status == HTTPStatus.GONE:
        return f"{text}: it accepts no more events"
    return text


def _log_unrecorded(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.error("cannot record a webhook try: %s; retrying", error)
