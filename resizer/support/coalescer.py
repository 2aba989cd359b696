"""Process single items in batches, where a batch costs little more than one item."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from resizer.support.in_flight import InFlight

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Gathers items into batches, in the order of submission, and returns to each caller its own result.

    `process` returns one result for each item. An `Exception` among them is raised to the caller of that
    item; an `Exception` that it raises itself, to all callers of the batch.

    An item waits at most `max_wait` seconds for others. It waits no longer once `enough` items wait, or half
    as many as images are in flight: the others may be busy elsewhere. At most `max_batches` are processed
    concurrently; further items gather, up to `max_items` for one batch.
    """

    def __init__(
        self,
        process: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        in_flight: InFlight,
        max_items: int,
        max_batches: int = 1,
        max_wait: float = 0.0,
        enough: int = 1,
    ) -> None:
        self._process = process
        self._in_flight = in_flight
        self._max_items = max_items
        self._max_batches = max_batches
        self._max_wait = max_wait
        self._enough = enough
        #: items that wait for others
        self._gathered: list[tuple[T, asyncio.Future[R]]] = []
        self._timer: asyncio.TimerHandle | None = None
        #: items for the next batches
        self._due: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._batches: set[asyncio.Task[None]] = set()

    def submit(self, item: T, *, at_once: bool = False) -> asyncio.Future[R]:
        """Process an item in a batch; `at_once` releases it, and those that wait, in the loop's next step.

        The item of a cancelled caller is processed all the same.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        self._gathered.append((item, result))
        at_once = at_once or len(self._gathered) >= min(self._enough, self._in_flight.images / 2)
        when = loop.time() + (0.0 if at_once else self._max_wait)
        if self._timer is None or when < self._timer.when():
            self._stop_timer()
            self._timer = loop.call_at(when, self._release)
        return result

    async def aclose(self) -> None:
        """Process all items that wait; returns when the last batch has ended."""
        while self._gathered or self._batches:
            self._release()
            await asyncio.wait(self._batches)

    async def cancel(self) -> None:
        """Cancel all items, those of running batches too."""
        self._stop_timer()
        for _, result in (*self._gathered, *self._due):
            result.cancel()
        self._gathered.clear()
        self._due.clear()
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)

    def _release(self) -> None:
        self._stop_timer()
        self._due.extend(self._gathered)
        self._gathered.clear()
        self._start_batches()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_batches(self) -> None:
        while self._due and len(self._batches) < self._max_batches:
            batch = [self._due.popleft() for _ in range(min(self._max_items, len(self._due)))]
            # an empty context: the log lines of a batch belong to no caller's request
            task = asyncio.get_running_loop().create_task(self._run(batch), context=Context())
            self._batches.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._start_batches()

    async def _run(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._process([item for item, _ in batch])
            answered = [*zip(batch, results, strict=True)]
        except Exception as error:  # noqa: BLE001 - raised to every caller of the batch
            answered = [(each, error) for each in batch]
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in answered:
            if future.done():
                continue  # its caller was cancelled
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
