"""Read requests: their status, images, webhooks and results."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from resizer.config import Settings
from resizer.database import Database
from resizer.errors import BatchNotFound, NotFinished
from resizer.models import Batch, BatchStatus, Delivery, Image, ImageStatus
from resizer.pipeline.results import result_csv
from resizer.pipeline.watchers import Watchers
from resizer.schemas.request_bodies import WebhookBody, webhook_body
from resizer.webhooks.webhook_events import receivers

logger = logging.getLogger(__name__)


class Requests:
    """Reads what the database holds of requests, and waits for it to change."""

    def __init__(self, database: Database, watchers: Watchers, settings: Settings) -> None:
        self._database = database
        self._watchers = watchers
        self._settings = settings

    async def batch(self, request_id: str) -> Batch:
        """Return one batch. Raises `BatchNotFound`."""
        batch = await self._database.batch(request_id)
        if batch is None:
            raise BatchNotFound(request_id)
        return batch

    async def newest(
        self, *, before: int | None = None, limit: int, status: BatchStatus | None = None
    ) -> list[Batch]:
        """Return batches with a lower id than `before`, newest first."""
        return await self._database.newest(before=before, limit=limit, status=status)

    async def wait(self, request_id: str, seconds: float) -> Batch:
        """Return the batch once it is final, or as it is after `seconds`. Raises `BatchNotFound`."""
        batch = await self.batch(request_id)
        with self._watchers.watch(batch.id) as ended:
            batch = await self.batch(request_id)
            if batch.done:
                return batch
            try:
                await asyncio.wait_for(ended.wait(), seconds)
            except TimeoutError:
                logger.debug("request %s has not ended within %g s", request_id, seconds)
        return await self.batch(request_id)

    def follow(self, batch: Batch) -> AsyncGenerator[Batch, None]:
        """Yield the batch now and after each change, until it is final or deleted, or the service stops."""
        return self._watchers.follow(batch, self.batch)

    async def webhook(self, batch: Batch) -> WebhookBody | None:
        """Return the state of the batch's webhook: its own, or else the configuration's."""
        return (await self.webhooks([batch]))[batch.id]

    async def webhooks(self, batches: Sequence[Batch]) -> dict[int, WebhookBody | None]:
        """Return the state of these batches' webhooks, by the batches' ids."""
        urls = {batch.id: receivers(batch, self._settings.webhook)[:1] for batch in batches}
        ended = [batch.id for batch in batches if batch.done and urls[batch.id]]
        latest: dict[int, Delivery] = {}
        for each in await self._database.deliveries.of_batches(*ended) if ended else ():
            if [each.url] == urls[each.batch_id]:
                latest[each.batch_id] = each
        return {
            batch_id: webhook_body(first[0], latest.get(batch_id)) if first else None
            for batch_id, first in urls.items()
        }

    async def deliveries(self, request_id: str) -> list[Delivery]:
        """Return the webhook events of a batch. Raises `BatchNotFound`."""
        return await self._database.deliveries.of_batches((await self.batch(request_id)).id)

    def expires_at(self, batch: Batch) -> float | None:
        """Return when the batch is deleted automatically, in seconds since the epoch; None for never."""
        return batch.expires_at(self._settings.retention.seconds)

    async def images(
        self, batch: Batch, *, after: int = -1, limit: int, status: ImageStatus | None = None
    ) -> list[Image]:
        return await self._database.images(batch.id, after=after, limit=limit, status=status)

    async def image(self, batch: Batch, number: int) -> Image | None:
        """Return one image by its place in the CSV, from 0; None where there is none."""
        found = await self.images(batch, after=number - 1, limit=1)
        return found[0] if found and found[0].seq == number else None

    def result_csv(
        self, batch: Batch, *, files_url: str, detail: bool = False, partial: bool = False
    ) -> AsyncIterator[bytes]:
        """Return the result piece by piece. Raises `NotFinished` for an unfinished batch unless `partial`."""
        if not batch.done and not partial:
            raise NotFinished(batch.request_id, batch.pending)
        return result_csv(self._database, batch, files_url=files_url, detail=detail)
