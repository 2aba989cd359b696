"""Work in the background: tasks that outlive their caller, and calls that are repeated."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

from resizer.errors import DatabaseFailure, NoSpace, StorageFailure

logger = logging.getLogger(__name__)

#: errors of the database, the disk or the store: a later try may succeed
TEMPORARY = (DatabaseFailure, NoSpace, StorageFailure)
#: seconds for tasks under way when the service stops
GRACE = 5.0


class BackgroundTasks:
    """Runs coroutines in the background from `async with` to its end, and at most `grace` seconds longer."""

    def __init__(self, *, grace: float = GRACE) -> None:
        self._grace = grace
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._grace)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine; its errors are logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def done_within(self, seconds: float, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine and wait for it, at most `seconds`; raises its error if it ends in that time."""
        task = self.begin(work)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        for each in done:
            each.result()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, TEMPORARY):
            logger.warning("cannot finish a background task: %s; continuing at the next start", error)
        elif error is not None:
            logger.error("a background task failed", exc_info=error)


class FailureLog:
    """Logs the first of several failures in a row, and the success that ends them.

    `purpose` completes "cannot …": "read the due deliveries". Errors other than `temporary` are faults of
    the service: each is logged with its traceback.
    """

    def __init__(
        self, purpose: str, *, retry: float, temporary: tuple[type[Exception], ...] = TEMPORARY
    ) -> None:
        self.purpose = purpose
        self.retry = retry  # seconds
        self._temporary = temporary
        self._failing = False

    def failed(self, error: Exception) -> None:
        if not isinstance(error, self._temporary):
            logger.error("cannot %s; retrying every %g s", self.purpose, self.retry, exc_info=error)
        elif not self._failing:
            logger.warning("cannot %s: %s; retrying every %g s", self.purpose, error, self.retry)
        self._failing = True

    def succeeded(self) -> None:
        if self._failing:
            logger.info("can %s again", self.purpose)
        self._failing = False


class Periodic:
    """Repeats a call in the background, from `async with` to its end.

    The call returns the seconds until it is repeated. After an error it is repeated in `failures.retry`
    seconds.
    """

    def __init__(self, call: Callable[[], Awaitable[float]], failures: FailureLog) -> None:
        self._call = call
        self._failures = failures
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self._failures.purpose)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Repeat the call without delay, or once more where it is running."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self._call()
                self._failures.succeeded()
            except Exception as error:  # noqa: BLE001 - logged; a loop that ended would go unnoticed
                self._failures.failed(error)
                pause = self._failures.retry
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
