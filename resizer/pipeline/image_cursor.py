"""The images of one batch, one after the other, passing over hosts that are busy."""

import asyncio
from collections import deque
from dataclasses import replace

from resizer.database import Database
from resizer.models import Batch, BatchStatus, Task
from resizer.pipeline.hosts import Places

#: images read from the database at once
PAGE = 32
#: images held in memory for busy hosts, for each batch
MOST_HELD = 256
#: of them, how many stay of the host that has most when there is no room for more
KEPT = 4


class Feed:
    """Hands out each waiting image of a batch once, in the order of the CSV as far as hosts allow.

    Images whose host is busy are held. A host of which many are held is from then on read by itself, from
    where it was left, so that thousands of images of dead hosts neither fill the memory nor hide what
    stands behind them.
    """

    def __init__(self, database: Database, places: Places, batch_id: int, *, revalidate: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self.batch_id = batch_id
        #: as it was at the first look at it, None until then
        self.batch: Batch | None = None
        #: loop time
        self.opened_at = loop.time()
        #: done once no image is to be worked on any more
        self.closed: asyncio.Future[None] = loop.create_future()
        self._database = database
        self._places = places
        self._revalidate = revalidate
        #: seq of the last image read in the order of the CSV
        self._cursor = -1
        self._at_end = False
        self._held: dict[str, deque[Task]] = {}
        #: hosts read by themselves: seq of the last image read, None once there are no more
        self._apart: dict[str, int | None] = {}
        #: hosts apart of which the next page is to be read
        self._used_up: set[str] = set()

    @property
    def exhausted(self) -> bool:
        """Whether every image has been handed out."""
        return self.closed.done() or (self._at_end and not self._held and not self._used_up)

    @property
    def busy_hosts(self) -> list[str]:
        """Hosts whose images are held: room at one of them is what a stalled feed waits for."""
        return [*self._held]

    async def take(self) -> tuple[str, Task] | None:
        """Return the next image and its host, which has then been entered; None where all is busy.

        Raises `DatabaseFailure`; nothing is lost then, it can be called again.
        """
        if self.closed.done():
            return None
        batch = self.batch or await self._open()
        if batch is None:
            return None
        while not self.closed.done():
            await self._read_apart(batch)
            taken = self._take_held()
            if taken is not None:
                return taken
            if self._at_end or not self._make_room():
                return None
            await self._read_on(batch)
        return None

    def close(self) -> None:
        """Hand out nothing more; who works on an image of the batch gives it up."""
        if not self.closed.done():
            self.closed.set_result(None)

    async def _open(self) -> Batch | None:
        """Look at the batch and note that it is begun; None where there is nothing to do any more."""
        batch = await self._database.batch_by_id(self.batch_id)
        if batch is None or batch.done:
            self._at_end = True
            return None
        if batch.status is BatchStatus.PENDING:
            await self._database.start(self.batch_id)
        self.batch = batch
        return batch

    def _take_held(self) -> tuple[str, Task] | None:
        if self.closed.done():
            return None
        for host in self._held:
            if not self._places.has_room(host):
                continue
            self._places.enter(host)
            held = self._held.pop(host)
            task = held.popleft()
            if held:
                self._held[host] = held  # behind the others: hosts take turns
            elif self._apart.get(host) is not None:
                self._used_up.add(host)
            return host, task
        return None

    def _make_room(self) -> bool:
        """Put images of the host that has most back to be read again later; False where that is no help."""
        if sum(map(len, self._held.values())) < MOST_HELD:
            return True
        host = max(self._held, key=lambda each: len(self._held[each]))
        held = self._held[host]
        if len(held) <= KEPT:
            return False
        while len(held) > KEPT:
            held.pop()
        self._apart[host] = held[-1].seq
        return True

    async def _read_on(self, batch: Batch) -> None:
        rows = await self._database.waiting(
            self.batch_id, batch.recipe, after=self._cursor, limit=PAGE, without_hosts=self._apart
        )
        for host, task in await self._with_known(batch, rows):
            self._held.setdefault(host, deque()).append(task)
            self._cursor = task.seq
        self._at_end = len(rows) < PAGE
        for host, held in self._held.items():
            if len(held) >= PAGE:
                self._apart.setdefault(host, self._cursor)

    async def _with_known(self, batch: Batch, rows: list[tuple[str, Task]]) -> list[tuple[str, Task]]:
        known = await self._database.cached_results.of(batch, [task.url for _, task in rows])
        if not known:
            return rows
        return [
            (host, replace(task, known=each))
            if (each := known.get(task.url)) and (self._revalidate or each.fresh)
            else (host, task)
            for host, task in rows
        ]

    async def _read_apart(self, batch: Batch) -> None:
        for host in [*self._used_up]:
            after = self._apart[host]
            assert after is not None  # noqa: S101 - else it would not be read any more
            rows = await self._database.waiting_of_host(
                self.batch_id, batch.recipe, host, after=after, limit=PAGE
            )
            rows = await self._with_known(batch, rows)
            # the host stays among those apart: in the CSV's order its images in flight still look waiting
            self._apart[host] = rows[-1][1].seq if len(rows) == PAGE else None
            self._used_up.discard(host)
            if rows:
                self._held[host] = deque(task for _, task in rows)
