"""Wake those who wait for a batch to end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Watchers:
    """Who waits for which batch; woken by the commit that ends it, or when the service stops."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._closed = False

    @contextmanager
    def watch(self, batch_id: int) -> Iterator[asyncio.Event]:
        """Give an event that is set when the batch ends; read the batch only after entering."""
        event = asyncio.Event()
        if self._closed:
            event.set()
        events = self._waiting.setdefault(batch_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._waiting.pop(batch_id, None)

    def finished(self, batch_id: int) -> None:
        for event in self._waiting.get(batch_id, ()):
            event.set()

    def close(self) -> None:
        """Wake everyone: nobody is kept waiting while the service stops."""
        self._closed = True
        for batch_id in self._waiting:
            self.finished(batch_id)
