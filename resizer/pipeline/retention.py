"""Delete finished batches after `retention.days`."""

import time
from collections.abc import Awaitable, Callable

from resizer.database import Database
from resizer.models import Batch
from resizer.support.background import FailureLog, Periodic

DAY = 24 * 3600.0  # seconds
PAGE = 100
#: seconds; the clock may be set, and other batches end, in between
LONGEST_SLEEP = 60.0
#: seconds; a clock that is wrong must not become a loop without a pause
SHORTEST_SLEEP = 0.1


class Retention(Periodic):
    """Deletes batches that ended more than `seconds` ago.

    `forget` is given each of them, and the end before which it must still lie.
    """

    def __init__(
        self, database: Database, forget: Callable[[Batch, float], Awaitable[object]], *, seconds: float
    ) -> None:
        super().__init__(self._forget_old, FailureLog("delete old requests", retry=LONGEST_SLEEP))
        self._removal = database.removal
        self._forget = forget
        self._seconds = seconds

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
