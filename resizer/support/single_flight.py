"""Open a resource once for all who use the same key concurrently."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from resizer.support.shielded import shielded

K = TypeVar("K")
V = TypeVar("V")


class Flight(Generic[V]):
    """A context opened and closed in a task of its own, for the users that share it."""

    def __init__(self, context: "Callable[[Flight[V]], AbstractAsyncContextManager[V]]") -> None:
        loop = asyncio.get_running_loop()
        self.users = 0
        #: the context's value or error; waiting for it with `asyncio.wait` never cancels it
        self.result: asyncio.Future[V] = loop.create_future()
        #: the context may set it to report progress before its result
        self.signal: asyncio.Future[None] = loop.create_future()
        self._unused = asyncio.Event()
        self._task = loop.create_task(self._run(context(self)))

    async def wait(self) -> V:
        """Wait for the result; a cancelled wait leaves it to the other users."""
        await asyncio.wait({self.result})
        return self.result.result()

    async def close(self) -> None:
        """Leave the context; without a result, cancel it."""
        if self.result.done():
            self._unused.set()
        else:
            self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def _run(self, context: AbstractAsyncContextManager[V]) -> None:
        try:
            async with context as value:
                self.result.set_result(value)
                await self._unused.wait()
        except Exception as error:
            if self.result.done():
                raise
            self.result.set_exception(error)
            self.result.exception()  # all its users may have left
        finally:
            self.result.cancel()


class SingleFlight(Generic[K, V]):
    """Shares the flight of a key from its first user to its last.

    A flight accepts further users until the first of them leaves with the result. The last user to leave
    closes it, and cancels it if there is no result yet.
    """

    def __init__(self) -> None:
        self._flights: dict[K, Flight[V]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    @asynccontextmanager
    async def join(
        self, key: K, context: Callable[[Flight[V]], AbstractAsyncContextManager[V]]
    ) -> AsyncIterator[Flight[V]]:
        """Use the flight of a key; without one, start it with this context."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(context)
        flight.users += 1
        try:
            yield flight
        finally:
            flight.users -= 1
            if self._flights.get(key) is flight and (flight.result.done() or not flight.users):
                del self._flights[key]
            if not flight.users:
                await shielded(flight.close())
