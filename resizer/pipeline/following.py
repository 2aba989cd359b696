"""Follow a batch from commit to commit until it ends."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from resizer.errors import BatchNotFound
from resizer.models import Batch
from resizer.pipeline.watchers import Watchers

logger = logging.getLogger(__name__)

#: seconds from one reading to the next at least: four a second (contract, section 5)
PACE = 0.25


async def follow(
    batch: Batch, watchers: Watchers, read: Callable[[str], Awaitable[Batch]]
) -> AsyncGenerator[Batch, None]:
    """Yield a batch as it is, then whenever it has changed, the last time with its final status.

    Who takes them slowly misses what lay between. Ends without a final status where the service stops or the
    batch is deleted.
    """
    loop = asyncio.get_running_loop()
    with watchers.watch(batch.id, changes=True) as changed:
        told: Batch | None = None
        while True:
            changed.clear()
            earliest = loop.time() + PACE
            try:
                batch = await read(batch.request_id)
            except BatchNotFound:
                logger.debug("request %s was deleted while someone followed it", batch.request_id)
                return
            if batch != told:
                told = batch
                yield batch
            if batch.done or watchers.closed:
                return
            await changed.wait()
            await asyncio.sleep(earliest - loop.time())
