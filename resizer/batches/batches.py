"""What the rest of the service can ask of batches."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from resizer.batches.announcing import addressees
from resizer.batches.dispatcher import Dispatcher
from resizer.batches.intake import IntakeDesk, Submission, digest_of
from resizer.batches.results import result_csv
from resizer.batches.watchers import Watchers
from resizer.bodies import Json, webhook_body
from resizer.config import Settings
from resizer.database import Database
from resizer.engine.base import Engine
from resizer.errors import BatchNotFound, NotFinished, NothingToRetry
from resizer.models import Batch, BatchStatus, Delivery, Image, ImageStatus
from resizer.webhooks.outbox import Outbox

logger = logging.getLogger(__name__)

#: images looked at once for files that are lost
LOOK = 1000


class Batches:
    """All batches; opened by `open_batches`."""

    def __init__(self, database: Database, engine: Engine, outbox: Outbox, settings: Settings) -> None:
        self._database = database
        self._outbox = outbox
        self._settings = settings
        self.watchers = Watchers()
        self._desk = IntakeDesk(database, settings.queue)
        self.dispatcher = Dispatcher(database, engine, settings.queue, per_host=settings.fetch.per_host)
        database.writer.on_finished = self._finished
        database.writer.on_settled = self.watchers.changed

    async def check_room(self) -> None:
        """Raise `QueueFull` or `NoSpace` where nothing more can be taken in."""
        await self._desk.check_room()

    async def submit(self, submission: Submission) -> Batch:
        """Take a CSV in; the batch is on disk and has been begun when this returns.

        Raises `CatalogError`, `QueueFull`, `IdempotencyConflict`, `NoSpace`.
        """
        batch, new = await self._desk.take_in(submission)
        if new:
            logger.info("request %s: %s products, %s images", batch.request_id, batch.products, batch.images)
            self.dispatcher.begin(batch.id)
        return batch

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

    async def retry(self, request_id: str) -> Batch:
        """Try failed and cancelled images of a batch anew; what is completed stays.

        Raises `BatchNotFound`, `NothingToRetry`.
        """
        batch = await self.batch(request_id)
        batch, images = await self._database.reopen(batch.id)
        if not images:
            raise NothingToRetry(request_id)
        logger.info("request %s: %s images are tried again", request_id, images)
        self.dispatcher.begin(batch.id)
        return batch

    async def wait(self, request_id: str, seconds: float) -> Batch:
        """Return the batch once it is final, or as it is after `seconds`. Raises `BatchNotFound`."""
        batch = await self.batch(request_id)
        with self.watchers.watch(batch.id) as ended:
            batch = await self.batch(request_id)
            if batch.done:
                return batch
            try:
                await asyncio.wait_for(ended.wait(), seconds)
            except TimeoutError:
                logger.debug("request %s has not ended within %g s", request_id, seconds)
        return await self.batch(request_id)

    async def webhook(self, batch: Batch) -> Json | None:
        """Return how far the batch's webhook has come: its own, or else the configuration's."""
        urls = addressees(batch, self._settings.webhook)
        if not urls:
            return None
        deliveries = await self._database.deliveries.of_batch(batch.id) if batch.done else []
        latest = next((each for each in reversed(deliveries) if each.url == urls[0]), None)
        return webhook_body(urls[0], latest)

    async def deliveries(self, request_id: str) -> list[Delivery]:
        """Return the webhook events of a batch. Raises `BatchNotFound`."""
        batch = await self.batch(request_id)
        return await self._database.deliveries.of_batch(batch.id)

    async def images(
        self, batch: Batch, *, after: int = -1, limit: int, status: ImageStatus | None = None
    ) -> list[Image]:
        return await self._database.images(batch.id, after=after, limit=limit, status=status)

    def result_csv(
        self, batch: Batch, *, files_url: str, detail: bool = False, partial: bool = False
    ) -> AsyncIterator[bytes]:
        """Return the result piece by piece; raises `NotFinished` unless what is done will do."""
        if not batch.done and not partial:
            raise NotFinished(batch.request_id, batch.pending)
        return result_csv(self._database, batch, files_url=files_url, detail=detail)

    async def submit_or_resume(
        self, submission: Submission, *, exists: Callable[[str], Awaitable[bool]]
    ) -> Batch:
        """Take a CSV in, or take up the batch made of the same content before.

        Failed images are tried anew, and so are those whose file does not exist any more. Raises what
        `submit` raises.
        """
        batch = await self._database.latest_with_digest(await asyncio.to_thread(digest_of, submission))
        if batch is None:
            return await self.submit(submission)
        lost = await self._lost(batch, exists)
        if batch.failed or batch.cancelled or lost:
            batch, _ = await self._database.reopen(batch.id, lost=lost)
        if not batch.done:
            self.dispatcher.begin(batch.id)
        return batch

    async def _lost(self, batch: Batch, exists: Callable[[str], Awaitable[bool]]) -> set[str]:
        found: dict[str, bool] = {}
        after = -1
        while page := await self.images(batch, after=after, limit=LOOK, status=ImageStatus.COMPLETED):
            after = page[-1].seq
            for name in [image.compressed.filename for image in page if image.compressed]:
                if name not in found:
                    found[name] = await exists(name)
        return {name for name, there in found.items() if not there}

    def stop_taking(self) -> None:
        """Begin no further image and wake everyone who waits, as the service is about to stop."""
        self.dispatcher.stop_taking()
        self.watchers.close()

    def _finished(self, batch: Batch) -> None:
        self.watchers.finished(batch.id)
        self._outbox.wake()
        logger.info(
            "request %s %s: %s completed, %s failed, %s bytes in, %s bytes out, %.1f s",
            batch.request_id,
            batch.status,
            batch.completed,
            batch.failed,
            batch.input_bytes,
            batch.output_bytes,
            (batch.finished_at or 0) - (batch.started_at or batch.created_at),
        )


@asynccontextmanager
async def open_batches(
    database: Database, engine: Engine, outbox: Outbox, settings: Settings, *, resume: bool = True
) -> AsyncIterator[Batches]:
    """Start the workers; with `resume` they take up what an earlier process left."""
    batches = Batches(database, engine, outbox, settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(batches.dispatcher)
        if resume:
            await batches.dispatcher.resume()
        yield batches
