"""Run functions in child processes, of which any may die or hang at any time.

One executor of one process is a lane, so that a child's end concerns only what was in its lane, and
the image to blame is known: the oldest one there. A lane holds two, one that runs and one that waits
in the child's pipe, so that the child never waits for the event loop.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from resizer.config import CompressSettings
from resizer.engine.child import Child, in_child
from resizer.errors import CompressCrash, CompressTimeout, ImageError
from resizer.log_context import tie, tied_to
from resizer.metrics import Metrics

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

IN_LANE = 2
START_PAUSE = 1.0  # seconds before another try to start a child, where the system had no memory for one


class CompressPool:
    """`settings.processes` children, each of them replaced when it dies or hangs.

    `memory_limit` is the most address space one child may take, in bytes; None is no limit.
    """

    def __init__(
        self,
        settings: CompressSettings,
        *,
        memory_limit: int | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._timeout = settings.timeout
        self._memory_limit = memory_limit
        self._lanes = [_Lane() for _ in range(settings.processes or _cores())]
        self._waiting: deque[_Job] = deque()
        self._renewals: set[asyncio.Task[None]] = set()
        self._closed = True
        #: children replaced since the start
        self.restarts = 0

    @property
    def pids(self) -> list[int]:
        """The children alive now."""
        return [lane.child.pid for lane in self._lanes if lane.child]

    @property
    def has_room(self) -> bool:
        """Whether a further call would be with a child at once, to be run or to be next."""
        return not self._waiting and any(lane.child and len(lane.jobs) < IN_LANE for lane in self._lanes)

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

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in a child; what it raises is raised here.

        Raises `CompressTimeout` where it runs for too long, `CompressCrash` where its child dies twice.
        A cancelled call that runs already goes on in its child, and keeps its place there until it is
        through: what it writes may still appear. Closing the pool cancels the calls not yet done.
        """
        if self._closed:
            raise RuntimeError("the pool is not open")
        job = _Job(partial(function, *args, **kwargs))
        self._waiting.append(job)
        self._dispatch()
        result: R = await job.done
        return result

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
        while self._waiting:
            job = self._waiting[0]
            lanes = [lane for lane in self._lanes if lane.takes(job)]
            if not lanes and not job.done.done():
                # strictly in turn: where an image waits to run alone, this empties a lane for it
                return
            self._waiting.popleft()
            if not job.done.done():
                self._submit(job, min(lanes, key=lambda lane: len(lane.jobs)))

    def _submit(self, job: "_Job", lane: "_Lane") -> None:
        loop = asyncio.get_running_loop()
        child = lane.child
        assert child is not None  # noqa: S101  the lane took it
        try:
            future = child.executor.submit(in_child, job.call)
        except BrokenProcessPool:
            # It died idle, or what it was at is about to be told so. An earlier image may be through
            # with its result on the way to the loop: that one comes first.
            lane.closing = True
            self._waiting.appendleft(job)
            loop.call_soon(self._lost, lane, child)
            return
        lane.jobs.append(job)
        if len(lane.jobs) == 1:
            self._start_timer(lane, child)

        def tell(ended: Future[Any]) -> None:
            loop.call_soon_threadsafe(self._ended, lane, child, job, ended)

        future.add_done_callback(tell)

    def _start_timer(self, lane: "_Lane", child: Child) -> None:
        """Time the oldest image of the lane: with its predecessor gone it begins now."""
        lane.stop_timer()
        if lane.jobs:
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(self._timeout, self._overdue, lane, child)

    def _ended(self, lane: "_Lane", child: Child, job: "_Job", future: Future[Any]) -> None:
        if lane.child is not child or self._closed:
            return  # the lane's loss has been dealt with
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self._lost(lane, child)
            return
        was_oldest = lane.jobs[0] is job  # not so where its arguments could not be pickled
        lane.jobs.remove(job)
        if was_oldest:
            self._start_timer(lane, child)
        if error is None:
            job.succeed(future.result())
        else:
            job.fail(error)
        self._dispatch()

    def _lost(self, lane: "_Lane", child: Child) -> None:
        """Blame the oldest image of a lane whose child died: one more try, alone."""
        if lane.child is not child or self._closed:
            return
        again, failed = list(lane.jobs), None
        if again and again[0].blamed:
            failed = (again.pop(0), CompressCrash())
        elif again:
            again[0].blamed = True
        with tied_to(lane.jobs[0].request_id if lane.jobs else None):
            logger.warning("a compressing process died with %d images and is replaced", len(lane.jobs))
        self._replace(lane, child, again, failed)

    def _overdue(self, lane: "_Lane", child: Child) -> None:
        late, *again = lane.jobs
        with tied_to(late.request_id):
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
        self._waiting.extendleft(reversed(again))
        self.restarts += 1
        self._metrics.pool_restarted()
        with tied_to(None):
            renewal = asyncio.create_task(self._renew(lane, child, failed))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)

    async def _renew(self, lane: "_Lane", child: Child, failed: "tuple[_Job, ImageError] | None") -> None:
        await asyncio.to_thread(child.end)
        if failed:
            # only now: its caller removes files that the child might have written anew
            job, error = failed
            job.fail(error)
        while not self._closed:
            try:
                lane.child = await self._start_child()
            except Exception:
                # whatever it is: a lane without a child would be lost for ever
                logger.exception("a process for compressing cannot be started; trying again")
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
    #: what its log lines are tied to
    request_id: str | None = field(default_factory=tie)

    def succeed(self, result: object) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            # marks it as seen: its caller may be cancelled before it sees it itself
            self.done.exception()


@dataclass(eq=False, slots=True)
class _Lane:
    #: None while it is replaced
    child: Child | None = None
    #: given to the child, in this order
    jobs: deque[_Job] = field(default_factory=deque)
    #: the child is dead, and what that means for its images comes next
    closing: bool = False
    timer: asyncio.TimerHandle | None = None

    def takes(self, job: _Job) -> bool:
        if self.child is None or self.closing:
            return False
        if not self.jobs:
            return True
        return len(self.jobs) < IN_LANE and not job.blamed and not self.jobs[0].blamed

    def stop_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
