"""Deliver what the database holds."""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from resizer.config import WebhookSettings
from resizer.errors import DatabaseFailure, FetchTimeout, HttpStatusError, ImageError, NoSpace
from resizer.fetch.addresses import AddressPolicy, open_session, parse_url, redact, translate
from resizer.metrics import Metrics
from resizer.models import Attempt, Delivery, DeliveryStatus
from resizer.support.failpoints import Point, reach
from resizer.support.log_context import tied_to
from resizer.support.retry_after import seconds_to_wait
from resizer.version import VERSION
from resizer.webhooks.signing import sign

logger = logging.getLogger(__name__)

TRIES = 64  # at once; each is one socket that mostly waits
TRIES_PER_HOST = 4  # at once; so it takes 16 receivers that hang to hold up a seventeenth
#: rows read at once; more than the tries under way, which may be among them
PAGE = 2 * TRIES
LOOK = 1.0  # seconds; while tries are under way the earliest due time is theirs and tells nothing of the next
CLOCK_SLACK = 60.0  # seconds that a clock may be put back without anything being done about it
LONGEST_SLEEP = 60.0  # seconds; someone may set the clock meanwhile
STORE_PAUSE = 5.0  # seconds until a database that failed is asked again
GRACE = 2.0  # seconds for tries under way when closing: time for an answer, none for a receiver that hangs
JITTER = 0.1  # of the delay: events that failed together are not tried together for ever
LONGEST_RETRY_AFTER = 24 * 3600.0  # seconds; as long as the longest delay of the default schedule
RESPONSE_BUFFER = 4096  # bytes; nobody reads the receiver's body, so no more than twice this is taken


class DeliveryStore(Protocol):
    """What the outbox needs of the database."""

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

    A try is recorded after it was made: a crash in between means that it is made again, with the same
    webhook-id. So an event arrives at least once.
    """

    def __init__(
        self, store: DeliveryStore, settings: WebhookSettings, secret: str, *, metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._metrics = metrics or Metrics()
        self._settings = settings
        self._secret = secret
        self._policy = AddressPolicy(networks=settings.allow_networks, setting="webhook.allow_networks")
        self._woken = asyncio.Event()
        self._tries: dict[int, asyncio.Task[None]] = {}
        self._hosts: Counter[str] = Counter()
        self._clock_was_checked = False
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
        self._task = asyncio.create_task(self._run(), name="outbox")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        try:
            await asyncio.gather(self._task, return_exceptions=True)
            if self._tries:
                await asyncio.wait([*self._tries.values()], timeout=GRACE)
        finally:
            late = [*self._tries.values()]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            await self._stack.aclose()
        if late:
            logger.info("%d webhook tries were cut off; they are made again at the next start", len(late))

    def wake(self) -> None:
        """Look for due deliveries now: one has been written."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._check_clock()
                pause = await self._start_due()
            except (DatabaseFailure, NoSpace) as error:
                logger.warning("webhook deliveries wait; next look in %g s: %s", STORE_PAUSE, error)
                pause = STORE_PAUSE
            except Exception:
                logger.exception("webhook deliveries cannot be read; next look in %g s", STORE_PAUSE)
                pause = STORE_PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _check_clock(self) -> None:
        """Once after the start: do not wait until a clock that was put back is where it has been before."""
        if self._clock_was_checked:
            return
        first_delay = self._settings.schedule[0] + CLOCK_SLACK
        moved = await self._store.bring_forward(time.time(), first_delay=first_delay)
        if moved:
            logger.warning("the clock was put back: %d webhook events are tried now", moved)
        self._clock_was_checked = True

    async def _start_due(self) -> float:
        """Start what is due and has a free slot; returns the seconds until the next look."""
        more = True
        while more and len(self._tries) < TRIES:
            # a try that ends while the rows are read is in them as it was before
            stale = set(self._tries)
            full = [host for host, tries in self._hosts.items() if tries >= TRIES_PER_HOST]
            due = await self._store.due_deliveries(time.time(), limit=PAGE, without_hosts=full)
            for delivery in due:
                if (
                    delivery.id not in stale
                    and len(self._tries) < TRIES
                    and self._hosts[delivery.host] < TRIES_PER_HOST
                ):
                    self._start(delivery)
            # a whole page may be of receivers that have just got all they take; others stand behind it
            more = len(due) == PAGE
        if self._tries:
            return LOOK
        at = await self._store.next_delivery_at()
        return LONGEST_SLEEP if at is None else min(max(at - time.time(), 0.0), LONGEST_SLEEP)

    def _start(self, delivery: Delivery) -> None:
        host = delivery.host

        def ended(task: asyncio.Task[None]) -> None:
            del self._tries[delivery.id]
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            if not task.cancelled() and task.exception():
                logger.error("delivery %s ended in a fault", delivery.webhook_id, exc_info=task.exception())
            self.wake()

        with tied_to(delivery.request_id):
            task = asyncio.create_task(self._try(delivery), name=f"delivery {delivery.webhook_id}")
            task.add_done_callback(ended)
        self._tries[delivery.id] = task
        self._hosts[host] += 1

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
            further = "it is given up" if next_at is None else f"next in {next_at - time.time():.0f} s"
            logger.warning(
                "event %s to %s failed at try %d: %s; %s",
                delivery.webhook_id,
                url,
                number,
                attempt.error,
                further,
            )
        # the slot is kept until the try is recorded: a full disk stops the sending instead of repeating it
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
            # its body stays unread: the connection is closed, or used again where it is at its end already
            response.release()
            http_status = response.status
            error = _complaint(url.host or "", http_status)
            retry_after = seconds_to_wait(response.headers.get("Retry-After", "")) if error else None
        except ImageError as fault:
            error = str(fault)
        except TimeoutError:
            error = str(FetchTimeout(url.host or "", self._settings.timeout, "webhook.timeout"))
        except (aiohttp.ClientError, OSError) as fault:
            error = str(translate(fault, url, self._policy))
        except Exception:
            # counted as a try: a delivery that cannot be sent must not come back at once
            logger.exception("event %s could not be sent", delivery.webhook_id)
            error = "an internal fault; the log tells more"
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
    """Return what tells receivers apart: a host and a port, however the URL spells them."""
    with contextlib.suppress(ImageError):
        parsed = parse_url(url)
        return f"{(parsed.host or '').rstrip('.')}:{parsed.port}"
    return ""


def _complaint(host: str, status: int) -> str | None:
    if 200 <= status <= 299:  # noqa: PLR2004
        return None
    text = str(HttpStatusError(host, status))
    if 300 <= status <= 399:  # noqa: PLR2004
        return f"{text}, a redirect, which is not followed; use the URL that it leads to"
    if status == HTTPStatus.GONE:
        return f"{text}: it wants no more events"
    return text


def _log_unrecorded(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.error("a webhook try could not be recorded and will be again: %s", error)
