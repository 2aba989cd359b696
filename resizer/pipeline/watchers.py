"""Wake those who wait for a batch to end, or to come further."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Watchers:
    """Who waits for which batch; woken by the commit that changes or ends it, or when the service stops."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._following: dict[int, set[asyncio.Event]] = {}
        #: the service stops: nobody is to wait any more
        self.closed = False

    @contextmanager
    def watch(self, batch_id: int, *, changes: bool = False) -> Iterator[asyncio.Event]:
        """Give an event that is set when the batch ends, or with `changes` whenever anything of it changes.

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
        """Wake everyone: nobody is kept waiting while the service stops."""
        self.closed = True
        for batch_id in {*self._waiting, *self._following}:
            self.finished(batch_id)
