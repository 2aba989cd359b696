"""Hand out the images of one batch, passing over hosts that have no room."""

import asyncio
from collections import deque
from dataclasses import replace

from resizer.database import Database
from resizer.fetch.hosts import HostLimits
from resizer.models import Batch, BatchStatus, Task

#: images read from the database at once
PAGE = 32
#: images of one batch held in memory for busy hosts
MOST_HELD = 256
#: images kept of the host that has most when there is no room for more
KEPT = 4


class ImageCursor:
    """Hands out each pending image of a batch once, in the order of the CSV as far as hosts allow.

    Images whose host is busy are held. A host with many held images is read separately from then on, so that
    thousands of images of dead hosts neither fill the memory nor hide others.
    """

    def __init__(
        self, database: Database, hosts: HostLimits, batch_id: int, *, revalidate: bool = True
    ) -> None:
        self.batch_id = batch_id
        #: as it was when its first image was asked for; None before
        self.batch: Batch | None = None
        #: done once no image is to be processed any more
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: places in the CSV of images that were handed out and have no outcome on disk yet
        self.in_flight: set[int] = set()
        self._database = database
        self._hosts = hosts
        #: the batch is to be rewound once more when no image is in flight
        self.read_again = False
        self._revalidate = revalidate
        self._rewinds = 0
        self._begin()

    def _begin(self) -> None:
        #: loop time
        self.opened_at = asyncio.get_running_loop().time()
        #: place of the last image read in the order of the CSV
        self._last = -1
        self._at_end = False
        self._held: dict[str, deque[Task]] = {}
        #: hosts read separately: place of the last image read, None once there are no more
        self._separate: dict[str, int | None] = {}
        #: hosts read separately whose next page is due
        self._due: set[str] = set()

    def rewind(self) -> None:
        """Read the batch from its beginning once more: images were set back to pending.

        An image in flight may be one of them, if its outcome was recorded just before: `read_again` asks for
        another reading when none is in flight.
        """
        self._rewinds += 1
        self.read_again = bool(self.in_flight)
        self._begin()

    @property
    def exhausted(self) -> bool:
        """Whether every image has been handed out."""
        return self.closed.done() or (self._at_end and not self._held and not self._due)

    @property
    def busy_hosts(self) -> list[str]:
        """Hosts whose images are held."""
        return [*self._held]

    async def take(self) -> tuple[str, Task] | None:
        """Return the next image and its host, one of whose places it has taken; None where all are busy.

        Raises `DatabaseFailure`; it can be called again, and no image is lost.
        """
        while not self.closed.done():
            rewinds = self._rewinds
            batch = self.batch or await self._open()
            if rewinds != self._rewinds:
                continue
            if batch is None:
                self._at_end = True
                return None
            await self._read_separate(batch)
            taken = self._take_held()
            if taken is not None:
                return taken
            if self._due or rewinds != self._rewinds:
                continue
            if self._at_end or not self._make_room():
                return None
            await self._read_on(batch)
        return None

    def close(self) -> None:
        """Hand out nothing more, and have images in flight given up."""
        if not self.closed.done():
            self.closed.set_result(None)

    async def _open(self) -> Batch | None:
        """Read the batch and note that it has begun; None where nothing is left to do."""
        batch = await self._database.batch_by_id(self.batch_id)
        if batch is None or batch.done:
            return None
        if batch.status is BatchStatus.PENDING:
            await self._database.start(self.batch_id)
        self.batch = batch
        return batch

    def _take_held(self) -> tuple[str, Task] | None:
        if self.closed.done():
            return None
        for host in self._held:
            if not self._hosts.has_room(host):
                continue
            self._hosts.enter(host)
            held = self._held.pop(host)
            task = held.popleft()
            if held:
                self._held[host] = held  # behind the others: hosts take turns
            elif self._separate.get(host) is not None:
                self._due.add(host)
            self.in_flight.add(task.seq)
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
        self._separate[host] = held[-1].seq
        return True

    async def _read_on(self, batch: Batch) -> None:
        rewinds, in_flight = self._rewinds, {*self.in_flight}  # images that end during the read were pending
        rows = await self._database.waiting(
            self.batch_id, batch.recipe, after=self._last, limit=PAGE, without_hosts=self._separate
        )
        known = await self._with_cached(batch, rows)
        if rewinds != self._rewinds:
            return
        for host, task in known:
            self._last = task.seq
            if task.seq not in in_flight:
                self._held.setdefault(host, deque()).append(task)
        self._at_end = len(rows) < PAGE
        for host, held in self._held.items():
            if len(held) >= PAGE:
                self._separate.setdefault(host, self._last)

    async def _read_separate(self, batch: Batch) -> None:
        rewinds, in_flight = self._rewinds, {*self.in_flight}
        for host in [*self._due]:
            after = self._separate[host]
            assert after is not None  # noqa: S101 - else it would not be due
            rows = await self._database.waiting_of_host(
                self.batch_id, batch.recipe, host, after=after, limit=PAGE
            )
            known = await self._with_cached(batch, rows)
            if rewinds != self._rewinds:
                return
            self._separate[host] = rows[-1][1].seq if len(rows) == PAGE else None
            self._due.discard(host)
            held = deque(task for _, task in known if task.seq not in in_flight)
            if held:
                self._held[host] = held
            elif len(rows) == PAGE:
                self._due.add(host)

    async def _with_cached(self, batch: Batch, rows: list[tuple[str, Task]]) -> list[tuple[str, Task]]:
        known = await self._database.cached_results.of(batch, [task.url for _, task in rows])
        if not known:
            return rows
        return [
            (host, replace(task, known=each))
            if (each := known.get(task.url)) and (self._revalidate or each.fresh)
            else (host, task)
            for host, task in rows
        ]
