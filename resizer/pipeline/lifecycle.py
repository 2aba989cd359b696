"""Change requests: submit, resume, retry, cancel, delete."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from resizer.database import Database
from resizer.errors import (
    AlreadyFinal,
    BatchNotFound,
    DatabaseFailure,
    NoSpace,
    NothingToRetry,
    NothingToSend,
)
from resizer.events import DeliveriesDue, Events, RequestDeleted
from resizer.metrics import Metrics
from resizer.models import Batch, Delivery, ImageStatus
from resizer.pipeline.importing import Importer, Submission, digest_of
from resizer.pipeline.remover import Remover
from resizer.pipeline.scheduler import Scheduler
from resizer.support.background import BackgroundTasks

logger = logging.getLogger(__name__)

#: completed images checked for lost files at once
CHECKED_AT_ONCE = 1000
#: batches read at once when the service starts
RESUME_PAGE = 500
#: seconds for which a client waits until all is cancelled or deleted; that continues afterwards
PATIENCE = 10.0
#: seconds until cancelling is tried again where the database cannot be written
CANCEL_PAUSE = 2.0

T = TypeVar("T")


class Lifecycle:
    """Takes requests from their upload to their deletion."""

    def __init__(
        self,
        database: Database,
        importer: Importer,
        scheduler: Scheduler,
        remover: Remover,
        *,
        events: Events,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._importer = importer
        self._scheduler = scheduler
        self._remover = remover
        self._events = events
        self._metrics = metrics
        self._background = BackgroundTasks()

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._background.__aexit__(kind, error, trace)

    async def check_room(self) -> None:
        """Raise `QueueFull` or `NoSpace` where no upload can be accepted."""
        await self._importer.check_room()

    async def submit(self, submission: Submission) -> Batch:
        """Import a CSV and begin its batch, which is on disk when this returns.

        Raises `CatalogError`, `QueueFull`, `IdempotencyConflict`, `NoSpace`.
        """
        batch, new = await self._importer.import_csv(submission)
        if new:
            logger.info("request %s: %s products, %s images", batch.request_id, batch.products, batch.images)
            self._scheduler.begin(batch.id)
        return batch

    async def submit_or_resume(
        self, submission: Submission, *, exists: Callable[[str], Awaitable[bool]]
    ) -> Batch:
        """Import a CSV, or resume the batch made of the same content before.

        Failed images are tried again, and so are those whose file is lost. Raises what `submit` raises.
        """
        batch = await self._database.latest_with_digest(await digest_of(submission))
        if batch is None:
            return await self.submit(submission)
        lost = await self._lost(batch, exists)
        if batch.failed or batch.cancelled or lost:
            reopened, _ = await self._database.outcomes.reopen(batch.id, lost=lost)
            batch = reopened or batch
        if not batch.done:
            self._scheduler.begin(batch.id)
        return batch

    async def resume(self) -> None:
        """Continue every batch without a final status. Raises `DatabaseFailure`."""
        after = 0
        while batches := await self._database.unfinished(after=after, limit=RESUME_PAGE):
            for batch in batches:
                if batch.cancelling:
                    self._background.begin(self._cancel_images(batch))
                else:
                    self._scheduler.begin(batch.id)
            after = batches[-1].id

    async def retry(self, request_id: str) -> Batch:
        """Try failed and cancelled images again; completed ones stay.

        Raises `BatchNotFound`, `NothingToRetry`.
        """
        batch, images = await self._database.outcomes.reopen((await self._batch(request_id)).id)
        if batch is None:
            raise BatchNotFound(request_id)
        if not images:
            raise NothingToRetry(request_id)
        logger.info("request %s: trying %s images again", request_id, images)
        self._scheduler.begin(batch.id)
        return batch

    async def cancel(self, request_id: str) -> Batch:
        """Cancel pending images and give up those in flight; completed ones stay.

        Returns the batch once all are cancelled, or as it is after `PATIENCE`. Raises `BatchNotFound`,
        `AlreadyFinal`.
        """
        batch = await self._batch(request_id)
        if not await self._database.outcomes.begin_cancel(batch.id):
            raise AlreadyFinal(request_id, (await self._batch(request_id)).status)
        await self._background.done_within(PATIENCE, self._cancel_images(batch))
        return await self._batch(request_id)

    async def delete(self, request_id: str) -> None:
        """Delete a batch, whatever its status, and the files that no other batch uses.

        It is invisible when this returns; files of a very large one are deleted a little later. Raises
        `BatchNotFound`.
        """
        batch = await self._batch(request_id)
        if not await self.forget(batch):
            raise BatchNotFound(request_id)
        await self._background.done_within(PATIENCE, self._remover.through())

    async def forget(self, batch: Batch, ended_before: float | None = None) -> bool:
        """Make a batch invisible and have it deleted; False where it is gone, or has not ended by then."""
        if not await self._database.removal.forget(batch.id, ended_before=ended_before):
            return False
        logger.info("request %s deleted", batch.request_id)
        self._scheduler.end(batch.id)
        self._events.publish(RequestDeleted(batch))
        return True

    async def send_again(self, request_id: str) -> list[Delivery]:
        """Schedule the batch's latest webhook event once more. Raises `BatchNotFound`, `NothingToSend`."""
        batch = await self._batch(request_id)
        if not await self._database.deliveries.send_again(batch.id, time.time()):
            raise NothingToSend(request_id, done=batch.done)
        self._events.publish(DeliveriesDue())
        return await self._database.deliveries.of_batches(batch.id)

    async def _batch(self, request_id: str) -> Batch:
        batch = await self._database.batch(request_id)
        if batch is None:
            raise BatchNotFound(request_id)
        return batch

    async def _lost(self, batch: Batch, exists: Callable[[str], Awaitable[bool]]) -> set[str]:
        found: dict[str, bool] = {}
        after = -1
        while page := await self._database.images(
            batch.id, after=after, limit=CHECKED_AT_ONCE, status=ImageStatus.COMPLETED
        ):
            after = page[-1].seq
            for name in [image.compressed.filename for image in page if image.compressed]:
                if name not in found:
                    found[name] = await exists(name)
        return {name for name, there in found.items() if not there}

    async def _cancel_images(self, batch: Batch) -> None:
        self._scheduler.end(batch.id)
        cancelled = 0
        while some := await self._retried(batch, self._database.outcomes.cancel_some):
            cancelled += some
            self._metrics.image_done(ImageStatus.CANCELLED, some)
        logger.info("request %s: cancelled %s images", batch.request_id, cancelled)
        after = await self._retried(batch, self._database.batch_by_id)
        if after is not None and not after.done and not after.cancelling:
            # a retry in between set images back to pending
            self._scheduler.begin(batch.id)

    async def _retried(self, batch: Batch, call: Callable[[int], Awaitable[T]]) -> T:
        """Call the database with the batch's id; wait where it cannot answer."""
        while True:
            try:
                return await call(batch.id)
            except (DatabaseFailure, NoSpace) as error:
                logger.warning(
                    "cannot cancel request %s: %s; retrying in %g s", batch.request_id, error, CANCEL_PAUSE
                )
                await asyncio.sleep(CANCEL_PAUSE)
