"""What the rest of the service can ask of batches."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from resizer.config import Settings
from resizer.database import Database
from resizer.engine.base import Engine
from resizer.errors import (
    AlreadyFinal,
    BatchNotFound,
    DatabaseFailure,
    NoSpace,
    NotFinished,
    NothingToRetry,
    NothingToSend,
)
from resizer.events import Events, FilesUnused, RequestFinished, RequestsChanged
from resizer.metrics import Metrics
from resizer.models import Batch, BatchStatus, Delivery, Image, ImageStatus, Outcome
from resizer.pipeline.collector import Collector
from resizer.pipeline.following import follow
from resizer.pipeline.importing import IntakeDesk, Submission, digest_of
from resizer.pipeline.removing import Remover
from resizer.pipeline.results import result_csv
from resizer.pipeline.retention import Retention
from resizer.pipeline.scheduler import Dispatcher
from resizer.pipeline.watchers import Watchers
from resizer.schemas import Json, webhook_body
from resizer.storage.base import Storage
from resizer.support.background import Chores
from resizer.support.in_flight import InFlight
from resizer.support.log_context import tied_to
from resizer.webhooks.outbox import Outbox
from resizer.webhooks.webhook_events import addressees

logger = logging.getLogger(__name__)

#: images looked at once for files that are lost
LOOK = 1000
#: batches read at once when the service starts
RESUME_PAGE = 500
#: seconds for which a client is kept waiting until all is cancelled or deleted; it goes on after that
PATIENCE = 10.0
#: seconds until cancelling is tried again where the database cannot be written
CANCEL_PAUSE = 2.0


class Batches:
    """All batches; opened by `open_batches`."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        storage: Storage,
        outbox: Outbox,
        *,
        settings: Settings,
        events: Events,
        in_flight: InFlight,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._settings = settings
        self._metrics = metrics
        self.watchers = Watchers()
        self._desk = IntakeDesk(database, settings.queue)
        self.dispatcher = Dispatcher(
            database,
            engine,
            settings.queue,
            fetch=settings.fetch,
            in_flight=in_flight,
            metrics=metrics,
            unclaimed=self.discard,
        )
        self.remover = Remover(database, storage)
        self.collector = Collector(database, storage, self.remover)
        self.chores = Chores()
        events.subscribe(RequestFinished, lambda event: self._finished(event.batch))
        events.subscribe(RequestsChanged, lambda event: self.watchers.changed(event.batch_ids))
        events.subscribe(FilesUnused, lambda _: self.remover.wake())

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
        batch, images = await self._database.outcomes.reopen((await self.batch(request_id)).id)
        if batch is None:
            raise BatchNotFound(request_id)
        if not images:
            raise NothingToRetry(request_id)
        logger.info("request %s: %s images are tried again", request_id, images)
        self.dispatcher.begin(batch.id)
        return batch

    async def resume(self) -> None:
        """Take up every batch that has no final status. Raises `DatabaseFailure`."""
        after = 0
        while batches := await self._database.unfinished(after=after, limit=RESUME_PAGE):
            for batch in batches:
                if batch.cancelling:
                    self.chores.begin(self._cancel_images(batch))
                else:
                    self.dispatcher.begin(batch.id)
            after = batches[-1].id

    async def cancel(self, request_id: str) -> Batch:
        """Let pending images of a batch be cancelled and end those under way; what is completed stays.

        Returns the batch as it is when all are cancelled, or after `PATIENCE` where they are very many.
        Raises `BatchNotFound`, `AlreadyFinal`.
        """
        batch = await self.batch(request_id)
        if not await self._database.outcomes.begin_cancel(batch.id):
            raise AlreadyFinal(request_id, (await self.batch(request_id)).status)
        await self.chores.done_within(PATIENCE, self._cancel_images(batch))
        return await self.batch(request_id)

    async def delete(self, request_id: str) -> None:
        """Forget a batch, whatever its status, and remove the files that no other batch uses.

        Nobody sees the batch any more when this returns; where it is very large its files go a little later.
        Raises `BatchNotFound`.
        """
        batch = await self.batch(request_id)
        if not await self.forget(batch):
            raise BatchNotFound(request_id)
        await self.chores.done_within(PATIENCE, self.remover.through())

    async def forget(self, batch: Batch, ended_before: float | None = None) -> bool:
        """Let a batch go, its files soon after; False where it is gone, or has not ended by then."""
        if not await self._database.removal.forget(batch.id, ended_before=ended_before):
            return False
        logger.info("request %s is deleted", batch.request_id)
        self.dispatcher.end(batch.id)
        self.dispatcher.sharing.ended(batch.id, batch.finished_at or time.time())
        self.watchers.finished(batch.id)
        self.remover.wake()
        return True

    async def send_again(self, request_id: str) -> list[Delivery]:
        """Send the latest webhook event of a batch once more. Raises `BatchNotFound`, `NothingToSend`."""
        batch = await self.batch(request_id)
        if not await self._database.deliveries.send_again(batch.id, time.time()):
            raise NothingToSend(request_id, done=batch.done)
        self._outbox.wake()
        return await self.deliveries(request_id)

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

    def follow(self, batch: Batch) -> AsyncGenerator[Batch, None]:
        """Yield the batch now and whenever it has changed, until it is final or there is no more to tell."""
        return follow(batch, self.watchers, self.batch)

    async def webhook(self, batch: Batch) -> Json | None:
        """Return how far the batch's webhook has come: its own, or else the configuration's."""
        return (await self.webhooks([batch]))[batch.id]

    async def webhooks(self, batches: Sequence[Batch]) -> dict[int, Json | None]:
        """Return how far the webhooks of these batches have come, by the batches' ids."""
        told = {batch.id: addressees(batch, self._settings.webhook)[:1] for batch in batches}
        ended = [batch.id for batch in batches if batch.done and told[batch.id]]
        latest: dict[int, Delivery] = {}
        for each in await self._database.deliveries.of_batches(*ended) if ended else ():
            if [each.url] == told[each.batch_id]:
                latest[each.batch_id] = each
        return {
            batch_id: webhook_body(urls[0], latest.get(batch_id)) if urls else None
            for batch_id, urls in told.items()
        }

    def expires_at(self, batch: Batch) -> float | None:
        """Return when the batch goes by itself, in seconds since the epoch; None where it stays."""
        return batch.expires_at(self._settings.retention.seconds)

    async def deliveries(self, request_id: str) -> list[Delivery]:
        """Return the webhook events of a batch. Raises `BatchNotFound`."""
        batch = await self.batch(request_id)
        return await self._database.deliveries.of_batches(batch.id)

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
        batch = await self._database.latest_with_digest(await digest_of(submission))
        if batch is None:
            return await self.submit(submission)
        lost = await self._lost(batch, exists)
        if batch.failed or batch.cancelled or lost:
            reopened, _ = await self._database.outcomes.reopen(batch.id, lost=lost)
            batch = reopened or batch
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

    async def _cancel_images(self, batch: Batch) -> None:
        self.dispatcher.end(batch.id)
        cancelled = 0
        while some := await self._cancel_some(batch):
            cancelled += some
            self._metrics.image_done(ImageStatus.CANCELLED, some)
        logger.info("request %s: %s images were cancelled", batch.request_id, cancelled)
        after = await self._database.batch_by_id(batch.id)
        if after is not None and not after.done and not after.cancelling:
            # it was set back meanwhile, and what was begun for that has been ended here
            self.dispatcher.begin(batch.id)

    async def _cancel_some(self, batch: Batch) -> int:
        while True:
            try:
                return await self._database.outcomes.cancel_some(batch.id)
            except (DatabaseFailure, NoSpace) as error:
                logger.warning("cancelling request %s waits: %s", batch.request_id, error)
                await asyncio.sleep(CANCEL_PAUSE)

    def discard(self, outcome: Outcome) -> None:
        """Note the file of an outcome that nobody wants any more."""
        if outcome.compressed is not None and not self.watchers.closed:
            self.chores.begin(self._note(outcome.compressed.filename))

    async def _note(self, name: str) -> None:
        await self._database.removal.note([name])

    def _finished(self, batch: Batch) -> None:
        self.dispatcher.sharing.ended(batch.id, batch.finished_at or time.time())
        self.watchers.finished(batch.id)
        self._outbox.wake()
        self._metrics.request_finished(batch.status)
        seconds = (batch.finished_at or 0) - (batch.started_at or batch.created_at)
        with tied_to(batch.request_id):
            logger.info(
                "request %s %s: %s completed, %s failed, %s cancelled, %s bytes in, %s bytes out, %.1f s",
                batch.request_id,
                batch.status,
                batch.completed,
                batch.failed,
                batch.cancelled,
                batch.input_bytes,
                batch.output_bytes,
                seconds,
                extra={
                    "figures": {
                        "status": batch.status,
                        "images": batch.images,
                        "completed": batch.completed,
                        "failed": batch.failed,
                        "cancelled": batch.cancelled,
                        "input_bytes": batch.input_bytes,
                        "output_bytes": batch.output_bytes,
                        "seconds": round(seconds, 3),
                    }
                },
            )


@asynccontextmanager
async def open_batches(
    database: Database,
    engine: Engine,
    storage: Storage,
    outbox: Outbox,
    *,
    settings: Settings,
    events: Events,
    in_flight: InFlight,
    metrics: Metrics,
    resume: bool = True,
) -> AsyncIterator[Batches]:
    """Start the workers; with `resume` they take up what an earlier process left, and old batches go."""
    batches = Batches(
        database,
        engine,
        storage,
        outbox,
        settings=settings,
        events=events,
        in_flight=in_flight,
        metrics=metrics,
    )
    async with AsyncExitStack() as stack:
        await batches.collector.decide()
        await stack.enter_async_context(batches.remover)
        await stack.enter_async_context(batches.dispatcher)
        await stack.enter_async_context(batches.chores)
        if resume:
            await batches.resume()
            seconds = settings.retention.seconds
            await stack.enter_async_context(Retention(database, batches.forget, seconds=seconds))
            await stack.enter_async_context(batches.collector)
        yield batches
