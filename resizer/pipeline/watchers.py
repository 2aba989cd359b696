"""Notify clients that wait for a batch to change or to end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

from resizer.errors import BatchNotFound
from resizer.models import Batch

logger = logging.getLogger(__name__)

#: seconds between two states of a followed batch at least: at most four a second (docs/api.md)
PACE = 0.25


class Watchers:
    """Waiting clients by batch; the commit that changes or ends a batch wakes them, and so does a stop."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._following: dict[int, set[asyncio.Event]] = {}
        #: the service stops
        self.closed = False

    @contextmanager
    def watch(self, batch_id: int, *, changes: bool = False) -> Iterator[asyncio.Event]:
        """Give an event that is set when the batch ends, with `changes` also whenever it changes.

        Read the batch only after entering.
        """
        watching = self._following if changes else self._waiting
        event = asyncio.Event()
        if self.closed:
            event.set()
        events = watching.setdefault(batch_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                watching.pop(batch_id, None)

    async def follow(
        self, batch: Batch, read: Callable[[str], Awaitable[Batch]]
    ) -> AsyncGenerator[Batch, None]:
        """Yield a batch as it is, then after each change, the last time with its final status.

        A slow consumer misses the states in between. Ends without a final status where the service stops or
        the batch is deleted.
        """
        loop = asyncio.get_running_loop()
        with self.watch(batch.id, changes=True) as changed:
            last: Batch | None = None
            while True:
                changed.clear()
                earliest = loop.time() + PACE
                try:
                    batch = await read(batch.request_id)
                except BatchNotFound:
                    logger.debug("request %s was deleted while a client followed it", batch.request_id)
                    return
                if batch != last:
                    last = batch
                    yield batch
                if batch.done or self.closed:
                    return
                await changed.wait()
                await asyncio.sleep(earliest - loop.time())

    def changed(self, batch_ids: Collection[int]) -> None:
        if not self._following:
            return
        for batch_id in batch_ids:
            for event in self._following.get(batch_id, ()):
                event.set()

    def finished(self, batch_id: int) -> None:
        for event in self._waiting.get(batch_id, ()):
            event.set()
        self.changed((batch_id,))

    def close(self) -> None:
        """Wake every client: none waits while the service stops."""
        self.closed = True
        for batch_id in {*self._waiting, *self._following}:
            self.finished(batch_id)
