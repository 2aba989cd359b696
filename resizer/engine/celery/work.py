"""What a worker is at: tasks taken from the queue, and those that its engine processes."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future

from resizer.engine.base import Engine, NoProgress
from resizer.models import Outcome, Task


class Cancelled(Exception):
    """Nobody wants a task any more."""


class Stopping(Exception):
    """The worker stops before a task was done."""


class Running:
    """One task that the engine is at; the broker may have given it twice, and then two threads wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.outcome: Future[Outcome]
        #: why it was ended, if it was
        self.ended: type[Exception] | None = None
        self._task: asyncio.Task[Outcome] | None = None

    async def process(self, engine: Engine, task: Task) -> Outcome:
        if self.ended is not None:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        return await engine.run(task, NoProgress())

    def cancel(self) -> None:
        """End it, in the engine's loop; what has stored its file already has an outcome all the same."""
        if self._task is not None:
            self._task.cancel()


class Work:
    """The tasks of one worker; each method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: how often each task was taken from the queue and is not done; twice where it was given twice
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
        """How many threads wait for the engine."""
        with self._lock:
            return sum(running.waiting for running in self._running.values())

    def taken(self, task_id: str) -> None:
        with self._lock:
            self._held[task_id] += 1

    def done(self, task_id: str) -> None:
        with self._lock:
            self._held[task_id] -= 1
            if self._held[task_id] <= 0:
                del self._held[task_id]

    def process(self, task_id: str, task: Task, engine: Engine, loop: asyncio.AbstractEventLoop) -> Outcome:
        """Have the engine process a task, and wait. Raises `Cancelled`, `Stopping`, and as the engine."""
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
        """End what is being done of these."""
        with self._lock:
            self._end([self._running[each] for each in ids if each in self._running], Cancelled, loop)

    def give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """End all of it, for other workers to do."""
        with self._lock:
            self._end([*self._running.values()], Stopping, loop)

    def _end(self, runs: Sequence[Running], why: type[Exception], loop: asyncio.AbstractEventLoop) -> None:
        for running in runs:
            running.ended = running.ended or why
            loop.call_soon_threadsafe(running.cancel)
