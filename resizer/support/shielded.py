"""Wait for what must have come to its end also where the wait for it is cancelled."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def shielded(waited: Awaitable[T]) -> T:
    """Await it; cancellations reach the caller, as one, but not before it has ended, and not it.

    Raises what it raises; after a cancellation `CancelledError` alone.
    """
    waiting = asyncio.ensure_future(waited)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        while not waiting.done():
            with suppress(asyncio.CancelledError):  # once more: a deadline, then whoever gives it up
                await asyncio.wait({waiting})
        if not waiting.cancelled():
            waiting.exception()  # the cancellation is what is told
        raise
