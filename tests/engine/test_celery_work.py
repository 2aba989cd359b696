"""A worker's tasks without a broker: a loop in a thread, an engine that waits, and threads as Celery's."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from outcomes import done
from resizer.engine.base import Progress
from resizer.engine.celery.work import Cancelled, Stopping, Work
from resizer.models import Outcome, OutputFormat, Recipe, Task

TASK = Task(batch_id=1, seq=0, url="http://h/a.jpg", recipe=Recipe(quality=50, format=OutputFormat.KEEP))


class Waiting:
    """An engine that works until `go` is set; with `stores` a cancellation arrives too late."""

    workers = 1

    def __init__(self, *, stores: bool = False) -> None:
        self.runs = 0
        self.begun = threading.Event()
        self.go = asyncio.Event()
        self._stores = stores

    async def check(self) -> None: ...

    async def room(self) -> None: ...

    async def run(self, task: Task, progress: Progress) -> Outcome:  # noqa: ARG002
        self.runs += 1
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            if not self._stores:
                raise
        return done(task.batch_id, task.seq)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def begun(
    work: Work, engine: Waiting, loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor
) -> Future[Outcome]:
    work.received("a")
    return threads.submit(work.process, "a", TASK, engine, loop)


def test_task_that_comes_twice_is_done_once(
    loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor
) -> None:
    work, engine = Work(), Waiting()
    first = begun(work, engine, loop, threads)
    engine.begun.wait()
    second = begun(work, engine, loop, threads)
    while work.waiting < 2:
        pass
    work.finished("a")
    assert work.held == ["a"]
    loop.call_soon_threadsafe(engine.go.set)
    assert first.result() == second.result() == done(1, 0)
    work.finished("a")
    assert (work.held, work.in_flight, engine.runs) == ([], 0, 1)


def test_cancelled_task_has_no_outcome(loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor) -> None:
    work, engine = Work(), Waiting()
    running = begun(work, engine, loop, threads)
    engine.begun.wait()
    work.cancel(["a", "never seen"], loop)
    with pytest.raises(Cancelled):
        running.result()
    assert work.in_flight == 0


@pytest.mark.parametrize("why", ["cancel", "return"])
def test_file_that_was_stored_is_told_though_its_task_was_ended(
    why: str, loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor
) -> None:
    """Otherwise no request would know the file, and it would never be deleted."""
    work, engine = Work(), Waiting(stores=True)
    running = begun(work, engine, loop, threads)
    engine.begun.wait()
    if why == "cancel":
        work.cancel(["a"], loop)
    else:
        work.return_all(loop)
    assert running.result() == done(1, 0)


def test_stopping_worker_gives_back_what_it_is_at(
    loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor
) -> None:
    work, engine = Work(), Waiting()
    running = begun(work, engine, loop, threads)
    engine.begun.wait()
    work.return_all(loop)
    with pytest.raises(Stopping):
        running.result()
