"""Wait for work to end even where the wait is cancelled."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def shielded(waited: Awaitable[T]) -> T:
    """Await `waited`; a cancellation is raised to the caller once the work has ended, and never reaches it.

    Raises the work's error, or `CancelledError` after one or more cancellations.
    """
    waiting = asyncio.ensure_future(waited)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        while not waiting.done():
            with suppress(
                asyncio.CancelledError
            ):  # a caller may be cancelled twice: by a deadline, then by a stop
                await asyncio.wait({waiting})
        if not waiting.cancelled():
            waiting.exception()  # marks it as retrieved: the cancellation is raised
        raise
