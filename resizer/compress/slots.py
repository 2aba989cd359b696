"""A child's place in the pool, and the jobs that it was given."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from resizer.compress.child import CallOutcome, Child, run_calls
from resizer.support.log_context import current_request_id

BUNDLES = 2  # per slot: one that runs, one that waits in the child's pipe


@dataclass(eq=False, slots=True)
class Job:
    """One call and the future of its result."""

    call: Callable[[], Any]
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    #: a child died while running it; it now runs alone, for the last time
    blamed: bool = False
    #: its arguments or its result may have prevented a bundle from being sent
    suspected: bool = False
    #: its child writes this into the heartbeat when it begins the job
    number: int = 0
    #: ties its log lines to the request
    request_id: str | None = field(default_factory=current_request_id)

    @property
    def alone(self) -> bool:
        """Whether it needs a bundle of its own, with nothing else in its slot."""
        return self.blamed or self.suspected

    def resolve(self, outcome: CallOutcome) -> None:
        if self.future.done():
            return
        if outcome.error is None:
            self.future.set_result(outcome.result)
        else:
            self.future.set_exception(outcome.error)
            # Marks it as retrieved: its caller may be cancelled before retrieving it.
            self.future.exception()


@dataclass(eq=False, slots=True)
class WorkerSlot:
    """One child at a time, and the jobs sent to it."""

    #: None while it is replaced
    child: Child | None = None
    #: in the order in which they were sent
    jobs: deque[Job] = field(default_factory=deque)
    bundles: int = 0
    #: jobs sent to this child so far
    sent: int = 0
    #: the child is dead and is about to be replaced
    lost: bool = False
    timer: asyncio.TimerHandle | None = None

    @property
    def current(self) -> int | None:
        """Index of the job that the child began last; None if it is known to run none of them."""
        number = self.child.current_call if self.child else 0
        return next((index for index, job in enumerate(self.jobs) if job.number == number), None)

    def accepts(self, job: Job) -> bool:
        if self.child is None or self.lost:
            return False
        if not self.jobs:
            return True
        return self.bundles < BUNDLES and not job.alone and not self.jobs[0].alone

    def send(self, child: Child, bundle: list[Job]) -> Future[tuple[list[CallOutcome], float]]:
        """Send a bundle to the child. Raises `BrokenProcessPool` if the child is dead."""
        future = child.executor.submit(run_calls, self.sent + 1, [job.call for job in bundle])
        for job in bundle:
            self.sent += 1
            job.number = self.sent
        self.jobs.extend(bundle)
        self.bundles += 1
        return future

    def remove(self, bundle: list[Job]) -> bool:
        """Remove a bundle; returns whether it was the oldest, which it is not if pickling it failed."""
        oldest = self.jobs[0] is bundle[0]
        for job in bundle:
            self.jobs.remove(job)
        self.bundles -= 1
        return oldest

    def clear(self) -> None:
        """Forget the child and its jobs."""
        self.stop_timer()
        self.child = None
        self.jobs.clear()
        self.bundles = self.sent = 0

    def stop_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None
