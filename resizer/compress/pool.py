"""Run functions in child processes that may die or hang at any time.

Each child has a slot with an executor of its own, so that the end of a child affects only the jobs in its
slot, and its heartbeat names the job to blame. A slot holds two bundles of jobs: one that runs, and one that
waits in the child's pipe, so that the child never waits for the event loop. A bundle holds several jobs if
they are small: each trip wakes five threads and processes, which takes longer than a small image does.
"""

import asyncio
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from resizer.compress.child import CallOutcome, Child
from resizer.compress.slots import BUNDLES, Job, WorkerSlot
from resizer.config import CompressSettings
from resizer.errors import CompressCrash, CompressTimeout
from resizer.metrics import Metrics
from resizer.support.log_context import log_request_id

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BUNDLE_SECONDS = 0.045  # time that the jobs of a bundle take together; two photos of a shop
MOST_IN_BUNDLE = 16
SMALL = 0.005  # seconds; a busy child gets quicker jobs in full bundles only
WEIGHT_OF_LAST = 0.25  # of the last bundle in the estimated time of a job
START_PAUSE = 1.0  # seconds before another attempt to start a child


class CompressPool:
    """`settings.processes` children; one that dies or hangs is replaced.

    `memory_limit` is the address space of one child in bytes; None is no limit. Jobs that wait are sent in
    bundles that take about `bundle_seconds`; 0 sends each one alone.
    """

    def __init__(
        self,
        settings: CompressSettings,
        *,
        memory_limit: int | None = None,
        metrics: Metrics | None = None,
        bundle_seconds: float = BUNDLE_SECONDS,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._timeout = settings.timeout
        self._memory_limit = memory_limit
        self._slots = [WorkerSlot() for _ in range(settings.processes or cores())]
        self._waiting: deque[Job] = deque()
        self._dispatch_due = False
        self._renewals: set[asyncio.Task[None]] = set()
        self._closed = True
        #: estimated seconds per job
        self._seconds = 1.0
        self._bundle_seconds = bundle_seconds
        #: children replaced since the start
        self.restarts = 0

    @property
    def pids(self) -> list[int]:
        """The children alive now."""
        return [slot.child.pid for slot in self._slots if slot.child]

    @property
    def has_room(self) -> bool:
        """Whether another call would be sent to a child at once, to run or to be next."""
        return not self._waiting and any(slot.child and slot.bundles < BUNDLES for slot in self._slots)

    async def __aenter__(self) -> Self:
        self._closed = False
        started = await asyncio.gather(*(self._start_child() for _ in self._slots), return_exceptions=True)
        for slot, child in zip(self._slots, started, strict=True):
            slot.child = child if isinstance(child, Child) else None
        if errors := [error for error in started if isinstance(error, BaseException)]:
            await self.aclose()
            raise errors[0]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """Call the function in a child; awaiting the future raises what the function raises.

        The future raises `CompressTimeout` if the call runs for too long and `CompressCrash` if its child
        dies twice. Cancelling it does not stop a call that runs: it keeps its place in its child until it
        returns, and may still write its files. Closing the pool cancels the calls not yet done.
        """
        if self._closed:
            raise RuntimeError("the pool is not open")
        job = Job(partial(function, *args, **kwargs))
        self._waiting.append(job)
        if not self._dispatch_due:
            # Not at once: calls submitted in the same step of the loop share a bundle.
            self._dispatch_due = True
            asyncio.get_running_loop().call_soon(self._dispatch)
        return job.future

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in a child, as `submit` does."""
        return await self.submit(function, *args, **kwargs)

    async def aclose(self) -> None:
        """Kill the children and cancel the calls that run or wait."""
        self._closed = True
        children = [slot.child for slot in self._slots if slot.child]
        for child in children:
            child.kill()
        for slot in self._slots:
            self._waiting.extend(slot.jobs)
            slot.clear()
        while self._waiting:
            self._waiting.popleft().future.cancel()
        await asyncio.gather(*self._renewals)
        children += [slot.child for slot in self._slots if slot.child]
        for slot in self._slots:
            slot.child = None
        await asyncio.gather(*(asyncio.to_thread(child.end) for child in children))

    async def _start_child(self) -> Child:
        return await asyncio.to_thread(Child.start, self._memory_limit)

    def _dispatch(self) -> None:
        self._dispatch_due = False
        while self._waiting:
            job = self._waiting[0]
            if job.future.done():
                self._waiting.popleft()
                continue
            slots = [slot for slot in self._slots if slot.accepts(job)]
            if self._bundle_size > len(self._waiting) and self._seconds < SMALL:
                # Small jobs wait for company rather than take a trip alone, unless a child is idle.
                slots = [slot for slot in slots if not slot.jobs]
            if not slots:
                # In order of submission: a job that must run alone waits here until a slot is empty.
                return
            share = math.ceil(len(self._waiting) / len(slots))
            self._send(self._next_bundle(share), min(slots, key=lambda slot: len(slot.jobs)))

    @property
    def _bundle_size(self) -> int:
        return min(MOST_IN_BUNDLE, max(1, int(self._bundle_seconds / self._seconds)))

    def _next_bundle(self, share: int) -> list[Job]:
        size = min(share, self._bundle_size)
        bundle = [self._waiting.popleft()]
        while len(bundle) < size and self._waiting and not (bundle[0].alone or self._waiting[0].alone):
            job = self._waiting.popleft()
            if not job.future.done():
                bundle.append(job)
        return bundle

    def _send(self, bundle: list[Job], slot: WorkerSlot) -> None:
        loop = asyncio.get_running_loop()
        child = slot.child
        assert child is not None  # noqa: S101  the slot accepted a job
        try:
            future = slot.send(child, bundle)
        except BrokenProcessPool:
            # It died idle, or its executor is about to report its death. The result of an earlier bundle may
            # be on its way to the loop and must arrive first.
            slot.lost = True
            self._waiting.extendleft(reversed(bundle))
            loop.call_soon(self._handle_death, slot, child)
            return
        if slot.bundles == 1:
            self._start_timer(slot, child, self._timeout)
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._finish, slot, child, bundle, done)
        )

    def _start_timer(self, slot: WorkerSlot, child: Child, seconds: float) -> None:
        """Time the slot's oldest job, which begins now."""
        slot.stop_timer()
        if slot.jobs:
            slot.timer = asyncio.get_running_loop().call_later(seconds, self._check_timeout, slot, child)

    def _finish(
        self,
        slot: WorkerSlot,
        child: Child,
        bundle: list[Job],
        future: Future[tuple[list[CallOutcome], float]],
    ) -> None:
        if slot.child is not child or self._closed:
            return  # the child's death was handled
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self._handle_death(slot, child)
            return
        was_oldest = slot.remove(bundle)
        if error is None:
            outcomes, seconds = future.result()
            self._seconds += WEIGHT_OF_LAST * (max(seconds, 1e-6) / len(bundle) - self._seconds)
            for job, outcome in zip(bundle, outcomes, strict=True):
                job.resolve(outcome)
        elif len(bundle) == 1:
            bundle[0].resolve(CallOutcome(error=error))
        else:
            # Arguments or a result could not be sent; each job runs alone to find out whose.
            for job in bundle:
                job.suspected = True
            self._waiting.extendleft(reversed(bundle))
        if was_oldest:
            self._start_timer(slot, child, self._timeout)
        self._dispatch()

    def _handle_death(self, slot: WorkerSlot, child: Child) -> None:
        """Blame the job that the child ran when it died; that job is tried once more, alone."""
        if slot.child is not child or self._closed:
            return
        blamed = slot.jobs[slot.current or 0] if slot.jobs else None
        with log_request_id(blamed.request_id if blamed else None):
            logger.warning("a compressing process died with %d images; replacing it", len(slot.jobs))
        if blamed and blamed.blamed:
            self._replace(slot, child, blamed, CompressCrash())
        else:
            if blamed:
                blamed.blamed = True
            self._replace(slot, child)

    def _check_timeout(self, slot: WorkerSlot, child: Child) -> None:
        current = slot.current
        spent = time.monotonic() - child.current_since
        if current is not None and spent < self._timeout:
            # The child runs a later job of the bundle than the timer was started for.
            self._start_timer(slot, child, self._timeout - spent)
            return
        late = slot.jobs[current or 0]
        with log_request_id(late.request_id):
            logger.warning("an image took longer than %g s; killing its compressing process", self._timeout)
        self._replace(slot, child, late, CompressTimeout(self._timeout))

    def _replace(
        self, slot: WorkerSlot, child: Child, failed: Job | None = None, error: Exception | None = None
    ) -> None:
        """Start another child, and run the slot's jobs again except the one that failed with this error."""
        # Before another child takes the jobs: one that only seems dead would still write their files.
        child.kill()
        self._waiting.extendleft(job for job in reversed(slot.jobs) if job is not failed)
        slot.clear()
        self.restarts += 1
        self._metrics.pool_restarted()
        with log_request_id(None):
            renewal = asyncio.create_task(self._renew(slot, child, failed, error))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)

    async def _renew(
        self, slot: WorkerSlot, child: Child, failed: Job | None, error: Exception | None
    ) -> None:
        await asyncio.to_thread(child.end)
        if failed:
            # Only now: its caller removes files that the child might have written again.
            failed.resolve(CallOutcome(error=error))
        while not self._closed:
            try:
                slot.child = await self._start_child()
            except Exception:
                # Any error: a slot without a child would stay empty for ever.
                logger.exception("cannot start a compressing process; retrying in %g s", START_PAUSE)
                self._dispatch()  # the other children take its jobs
                await asyncio.sleep(START_PAUSE)
            else:
                slot.lost = False
                self._dispatch()
                return


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
