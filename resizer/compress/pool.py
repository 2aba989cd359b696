"""Run functions in child processes, of which any may die or hang at any time.

One executor of one process is a lane, so that a child's end concerns only what was in its lane, and
the image to blame is known: the one that the child noted last. A lane holds two bundles, one that runs and
one that waits in the child's pipe, so that the child never waits for the event loop. A bundle is one image,
or several where they are small and wait: each trip wakes five threads and processes, which takes longer than
a small image does.
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
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from resizer.compress.child import Child, Ended, in_child
from resizer.config import CompressSettings
from resizer.errors import CompressCrash, CompressTimeout, ImageError
from resizer.metrics import Metrics
from resizer.support.log_context import current_request_id, log_request_id

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

#: bundles in a lane
IN_LANE = 2
BUNDLE_SECONDS = 0.045  # what the images of a bundle are to take together; two photos of a shop
MOST_IN_BUNDLE = 16
SMALL = 0.005  # seconds; what takes less is not sent by itself to a child that is at work
#: how much the last bundle counts in what an image is thought to take
WEIGHT_OF_LAST = 0.25
START_PAUSE = 1.0  # seconds before another try to start a child, where the system had no memory for one


class CompressPool:
    """`settings.processes` children, each of them replaced when it dies or hangs.

    `memory_limit` is the most address space one child may take, in bytes; None is no limit. What waits goes
    to a child in bundles that take about `bundle_seconds`; 0 sends each image by itself.
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
        self._lanes = [_Lane() for _ in range(settings.processes or cores())]
        self._waiting: deque[_Job] = deque()
        #: in this step of the loop images have come that are to be given out at its end
        self._gathers = False
        self._renewals: set[asyncio.Task[None]] = set()
        self._closed = True
        #: seconds that an image is thought to take
        self._seconds = 1.0
        self._bundle_seconds = bundle_seconds
        #: children replaced since the start
        self.restarts = 0

    @property
    def pids(self) -> list[int]:
        """The children alive now."""
        return [lane.child.pid for lane in self._lanes if lane.child]

    @property
    def has_room(self) -> bool:
        """Whether a further call would be with a child at once, to be run or to be next."""
        return not self._waiting and any(lane.child and lane.bundles < IN_LANE for lane in self._lanes)

    async def __aenter__(self) -> Self:
        self._closed = False
        started = await asyncio.gather(*(self._start_child() for _ in self._lanes), return_exceptions=True)
        for lane, child in zip(self._lanes, started, strict=True):
            lane.child = child if isinstance(child, Child) else None
        if faults := [fault for fault in started if isinstance(fault, BaseException)]:
            await self.aclose()
            raise faults[0]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """Have a child call the function; what it raises is raised where the future is awaited.

        Raises `CompressTimeout` where it runs for too long, `CompressCrash` where its child dies twice.
        A cancelled call that runs already goes on in its child, and keeps its place there until it is
        through: what it writes may still appear. Closing the pool cancels the calls not yet done.
        """
        if self._closed:
            raise RuntimeError("the pool is not open")
        job = _Job(partial(function, *args, **kwargs))
        self._waiting.append(job)
        if not self._gathers:
            # not at once: what else comes in this step of the loop may go with it
            self._gathers = True
            asyncio.get_running_loop().call_soon(self._dispatch)
        return job.done

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in a child, as `submit` says."""
        return await self.submit(function, *args, **kwargs)

    def kill(self) -> None:
        """Stop at once: end the children and cancel whatever runs or waits; `aclose` clears up."""
        self._closed = True
        for lane in self._lanes:
            lane.stop_timer()
            if lane.child:
                lane.child.kill()
            self._waiting.extend(lane.jobs)
        while self._waiting:
            self._waiting.popleft().done.cancel()

    async def aclose(self) -> None:
        """Close without waiting for what runs: who wants its result has awaited it before.

        A child holds nothing worth a farewell, and one that hangs would never answer it.
        """
        self.kill()
        await asyncio.gather(*self._renewals)
        children = [lane.child for lane in self._lanes if lane.child]
        for lane in self._lanes:
            lane.child = None
        await asyncio.gather(*(asyncio.to_thread(child.end) for child in children))

    async def _start_child(self) -> Child:
        return await asyncio.to_thread(Child.start, self._memory_limit)

    def _dispatch(self) -> None:
        self._gathers = False
        while self._waiting:
            job = self._waiting[0]
            if job.done.done():
                self._waiting.popleft()
                continue
            lanes = [lane for lane in self._lanes if lane.takes(job)]
            if self._bundle_size > len(self._waiting) and self._seconds < SMALL:
                # better to wait for others than for a trip of its own, unless a child has nothing to do
                lanes = [lane for lane in lanes if not lane.jobs]
            if not lanes:
                # strictly in turn: where an image waits to run alone, this empties a lane for it
                return
            share = math.ceil(len(self._waiting) / len(lanes))
            self._submit(self._bundle(share), min(lanes, key=lambda lane: len(lane.jobs)))

    @property
    def _bundle_size(self) -> int:
        return min(MOST_IN_BUNDLE, max(1, int(self._bundle_seconds / self._seconds)))

    def _bundle(self, most: int) -> list["_Job"]:
        """Take the next jobs, as many as one trip is to carry."""
        most = min(most, self._bundle_size)
        bundle = [self._waiting.popleft()]
        while len(bundle) < most and self._waiting and not (bundle[0].alone or self._waiting[0].alone):
            job = self._waiting.popleft()
            if not job.done.done():
                bundle.append(job)
        return bundle

    def _submit(self, bundle: list["_Job"], lane: "_Lane") -> None:
        loop = asyncio.get_running_loop()
        child = lane.child
        assert child is not None  # noqa: S101  the lane took it
        try:
            future = child.executor.submit(in_child, lane.sent + 1, [job.call for job in bundle])
        except BrokenProcessPool:
            # It died idle, or what it was at is about to be told so. An earlier image may be through
            # with its result on the way to the loop: that one comes first.
            lane.closing = True
            self._waiting.extendleft(reversed(bundle))
            loop.call_soon(self._lost, lane, child)
            return
        for job in bundle:
            lane.sent += 1
            job.number = lane.sent
        lane.jobs.extend(bundle)
        lane.bundles += 1
        if lane.bundles == 1:
            self._start_timer(lane, child, self._timeout)

        def tell(ended: Future[Any]) -> None:
            loop.call_soon_threadsafe(self._ended, lane, child, bundle, ended)

        future.add_done_callback(tell)

    def _start_timer(self, lane: "_Lane", child: Child, seconds: float) -> None:
        """Time the image that the lane is at: with its predecessors gone it begins now."""
        lane.stop_timer()
        if lane.jobs:
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(seconds, self._overdue, lane, child)

    def _ended(
        self, lane: "_Lane", child: Child, bundle: list["_Job"], future: Future[tuple[list[Ended], float]]
    ) -> None:
        if lane.child is not child or self._closed:
            return  # the lane's loss has been dealt with
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self._lost(lane, child)
            return
        was_oldest = lane.jobs[0] is bundle[0]  # not so where its arguments could not be pickled
        for job in bundle:
            lane.jobs.remove(job)
        lane.bundles -= 1
        if error is None:
            ends, seconds = future.result()
            self._seconds += WEIGHT_OF_LAST * (max(seconds, 1e-6) / len(bundle) - self._seconds)
            for job, end in zip(bundle, ends, strict=True):
                job.end(end)
        elif len(bundle) == 1:
            bundle[0].end(Ended(error=error))
        else:
            # whose arguments it were, or whose result, shows when each goes by itself
            for job in bundle:
                job.single = True
            self._waiting.extendleft(reversed(bundle))
        if was_oldest:
            self._start_timer(lane, child, self._timeout)
        self._dispatch()

    def _lost(self, lane: "_Lane", child: Child) -> None:
        """Blame the image that a child was at when it died: one more try, alone."""
        if lane.child is not child or self._closed:
            return
        again, failed = list(lane.jobs), None
        blamed = again[lane.at or 0] if again else None
        with log_request_id(blamed.request_id if blamed else None):
            logger.warning("a compressing process died with %d images and is replaced", len(again))
        if blamed and blamed.blamed:
            again.remove(blamed)
            failed = (blamed, CompressCrash())
        elif blamed:
            blamed.blamed = True
        self._replace(lane, child, again, failed)

    def _overdue(self, lane: "_Lane", child: Child) -> None:
        at = lane.at
        spent = time.monotonic() - child.since
        if at is not None and spent < self._timeout:
            # it is not the image with which the time began
            self._start_timer(lane, child, self._timeout - spent)
            return
        again = list(lane.jobs)
        late = again.pop(at or 0)
        with log_request_id(late.request_id):
            logger.warning("a compressing process is killed: one image took longer than %g s", self._timeout)
        self._replace(lane, child, again, (late, CompressTimeout(self._timeout)))

    def _replace(
        self,
        lane: "_Lane",
        child: Child,
        again: list["_Job"],
        failed: "tuple[_Job, ImageError] | None",
    ) -> None:
        # before another child takes up its images: one that only seems dead still writes their files
        child.kill()
        lane.stop_timer()
        lane.child = None
        lane.jobs.clear()
        lane.bundles = lane.sent = 0
        self._waiting.extendleft(reversed(again))
        self.restarts += 1
        self._metrics.pool_restarted()
        with log_request_id(None):
            renewal = asyncio.create_task(self._renew(lane, child, failed))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)

    async def _renew(self, lane: "_Lane", child: Child, failed: "tuple[_Job, ImageError] | None") -> None:
        await asyncio.to_thread(child.end)
        if failed:
            # only now: its caller removes files that the child might have written anew
            job, error = failed
            job.end(Ended(error=error))
        while not self._closed:
            try:
                lane.child = await self._start_child()
            except Exception:
                # whatever it is: a lane without a child would be lost for ever
                logger.exception("a process for compressing cannot be started; trying again")
                self._dispatch()  # the others take its images meanwhile
                await asyncio.sleep(START_PAUSE)
            else:
                lane.closing = False
                self._dispatch()
                return


@dataclass(eq=False, slots=True)
class _Job:
    call: Callable[[], Any]
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    #: a child died of it, it seems: it runs alone now, and for the last time
    blamed: bool = False
    #: its arguments or its result may be what kept those of a bundle from being sent
    single: bool = False
    #: by which its child notes that it has begun it
    number: int = 0
    #: of its log lines
    request_id: str | None = field(default_factory=current_request_id)

    @property
    def alone(self) -> bool:
        """Whether it goes in a bundle of its own, with nothing else in its lane."""
        return self.blamed or self.single

    def end(self, end: Ended) -> None:
        if self.done.done():
            return
        if end.error is None:
            self.done.set_result(end.result)
        else:
            self.done.set_exception(end.error)
            # marks it as seen: its caller may be cancelled before it sees it itself
            self.done.exception()


@dataclass(eq=False, slots=True)
class _Lane:
    #: None while it is replaced
    child: Child | None = None
    #: given to the child, in this order
    jobs: deque[_Job] = field(default_factory=deque)
    #: in so many bundles
    bundles: int = 0
    #: images given to the child so far
    sent: int = 0
    #: the child is dead, and what that means for its images comes next
    closing: bool = False
    timer: asyncio.TimerHandle | None = None

    @property
    def at(self) -> int | None:
        """Which of its jobs the child has begun last, None where it is known to be at none of them."""
        begun = self.child.begun if self.child else 0
        return next((place for place, job in enumerate(self.jobs) if job.number == begun), None)

    def takes(self, job: _Job) -> bool:
        if self.child is None or self.closing:
            return False
        if not self.jobs:
            return True
        return self.bundles < IN_LANE and not job.alone and not self.jobs[0].alone

    def stop_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
