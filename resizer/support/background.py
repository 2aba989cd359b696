"""Work that goes on when whoever asked for it is not there any more."""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from resizer.errors import DatabaseFailure, NoSpace

logger = logging.getLogger(__name__)

#: seconds for what is under way when the service stops; the rest is gone on with at the next start
GRACE = 5.0


class BackgroundTasks:
    """Runs coroutines in the background, from `async with` to its end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, chore: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it; what it raises is logged."""
        task = asyncio.create_task(chore)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def done_within(self, seconds: float, chore: Coroutine[Any, Any, None]) -> None:
        """Run it and wait for it, but no longer than that; raises what it raises meanwhile."""
        task = self.begin(chore)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        for each in done:
            each.result()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, DatabaseFailure | NoSpace):
            logger.warning("something has to wait for the next start: %s", error)
        elif error is not None:
            logger.error("something in the background met a fault of the service", exc_info=error)
