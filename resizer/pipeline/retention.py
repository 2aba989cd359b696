"""Let finished batches go when their time is over."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from resizer.database import Database
from resizer.errors import DatabaseFailure, NoSpace
from resizer.models import Batch

logger = logging.getLogger(__name__)

DAY = 24 * 3600.0  # seconds
PAGE = 100
#: seconds; someone may set the clock meanwhile, and batches end that are not looked for
LONGEST_SLEEP = 60.0
#: seconds; so that times of which the clock makes nothing do not become a loop without a pause
SHORTEST_SLEEP = 0.1


class Retention:
    """Forgets batches that ended more than `seconds` ago; 0 keeps them for ever.

    `forget` is given each such batch and the end before which it must still lie.
    """

    def __init__(
        self, database: Database, forget: Callable[[Batch, float], Awaitable[object]], *, seconds: float
    ) -> None:
        self._removal = database.removal
        self._forget = forget
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._seconds:
            self._task = asyncio.create_task(self._run(), name="retention")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                pause = await self._forget_old()
            except (DatabaseFailure, NoSpace) as error:
                logger.warning("old requests stay for now: %s", error)
                pause = LONGEST_SLEEP
            except Exception:
                logger.exception("old requests stay for now, by a fault of the service")
                pause = LONGEST_SLEEP
            await asyncio.sleep(pause)

    async def _forget_old(self) -> float:
        """Forget what is old enough; returns the seconds until the next look."""
        end = time.time() - self._seconds
        while old := await self._removal.ended_before(end, limit=PAGE):
            for batch in old:
                await self._forget(batch, end)
        first = await self._removal.first_end()
        if first is None:
            return min(self._seconds, LONGEST_SLEEP)
        return min(max(first + self._seconds - time.time(), SHORTEST_SLEEP), LONGEST_SLEEP)
