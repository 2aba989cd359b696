"""The tasks of a worker: those it received from the queue, and those its engine processes."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future

from resizer.engine.base import Engine, NoProgress
from resizer.models import Outcome, Task


class Cancelled(Exception):
    """The server cancelled a task."""


class Stopping(Exception):
    """The worker stops before a task is finished."""


class Running:
    """One task in the engine; two threads wait for it if the broker delivered it twice."""

    def __init__(self) -> None:
        self.waiting = 0
        self.outcome: Future[Outcome]
        #: why it was cancelled, if it was
        self.ended: type[Exception] | None = None
        self._task: asyncio.Task[Outcome] | None = None

    async def process(self, engine: Engine, task: Task) -> Outcome:
        if self.ended is not None:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        return await engine.run(task, NoProgress())

    def cancel(self) -> None:
        """Cancel it, in the engine's loop; it still has an outcome if its file is stored already."""
        if self._task is not None:
            self._task.cancel()


class Work:
    """The tasks of one worker; all methods are thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: deliveries of each unfinished task; two if the broker delivered it twice
        self._held: Counter[str] = Counter()
        self._running: dict[str, Running] = {}

    @property
    def held(self) -> list[str]:
        with self._lock:
            return [*self._held]

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Threads that wait for the engine."""
        with self._lock:
            return sum(running.waiting for running in self._running.values())

    def received(self, task_id: str) -> None:
        with self._lock:
            self._held[task_id] += 1

    def finished(self, task_id: str) -> None:
        with self._lock:
            self._held[task_id] -= 1
            if self._held[task_id] <= 0:
                del self._held[task_id]

    def process(self, task_id: str, task: Task, engine: Engine, loop: asyncio.AbstractEventLoop) -> Outcome:
        """Process a task in the engine, and wait. Raises `Cancelled`, `Stopping`, the engine's errors."""
        with self._lock:
            running = self._running.get(task_id)
            if running is None:
                running = self._running[task_id] = Running()
                running.outcome = asyncio.run_coroutine_threadsafe(running.process(engine, task), loop)
            running.waiting += 1
        try:
            return running.outcome.result()
        except CancelledError as error:
            raise (running.ended or Stopping) from error
        finally:
            with self._lock:
                running.waiting -= 1
                if not running.waiting:
                    del self._running[task_id]

    def cancel(self, ids: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        """Cancel those of these tasks that are running."""
        with self._lock:
            self._end([self._running[each] for each in ids if each in self._running], Cancelled, loop)

    def return_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel all running tasks, so that other workers process them."""
        with self._lock:
            self._end([*self._running.values()], Stopping, loop)

    def _end(self, runs: Sequence[Running], why: type[Exception], loop: asyncio.AbstractEventLoop) -> None:
        for running in runs:
            running.ended = running.ended or why
            loop.call_soon_threadsafe(running.cancel)
