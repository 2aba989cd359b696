"""Take a CSV in: read it off the event loop and write its batch, of which nobody sees a part."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resizer.catalog import CatalogReader
from resizer.config import QueueSettings
from resizer.database import Database, Intake, NewBatch
from resizer.errors import QueueFull
from resizer.failpoints import Point, reach
from resizer.models import Batch, Product, Recipe
from resizer.turns import Turns

#: cells and URLs read and written at once; a product may have two of them or a hundred thousand
CHUNK = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One upload: a CSV that is already on disk, and what is asked for it."""

    csv: Path
    filename: str
    recipe: Recipe
    webhook_url: str | None = None
    origin: str
    files_url: str
    idempotency_key: str | None = None


class IntakeDesk:
    """Makes batches of submissions."""

    def __init__(self, database: Database, settings: QueueSettings) -> None:
        self._database = database
        self._settings = settings
        # posts with the same Idempotency-Key take turns, so that only the first does the work
        self._turns = Turns()

    async def check_room(self) -> None:
        """Raise `QueueFull` or `NoSpace` where nothing more can be taken in, whatever its size."""
        await self._database.check_space()
        pending = await self._database.pending_images()
        if pending >= self._settings.max_pending_images:
            raise QueueFull(pending, self._settings.max_pending_images)

    async def take_in(self, submission: Submission) -> tuple[Batch, bool]:
        """Return the batch, on disk, and whether it is new: the same key answers the first one again.

        Raises `CatalogError`, `QueueFull`, `IdempotencyConflict`, `NoSpace`; nothing is queued then.
        """
        key = submission.idempotency_key
        digest = await asyncio.to_thread(digest_of, submission)
        if key is None:
            return await self._write(submission, digest)
        async with self._turns.of(key):
            earlier = await self._database.batch_with_key(key, digest)
            if earlier is not None:
                return earlier, False
            return await self._write(submission, digest)

    async def _write(self, submission: Submission, digest: str) -> tuple[Batch, bool]:
        with await asyncio.to_thread(CatalogReader, submission.csv) as reader:
            new = NewBatch(
                filename=submission.filename,
                columns=reader.header.columns,
                digest=digest,
                recipe=submission.recipe,
                webhook_url=submission.webhook_url,
                origin=submission.origin,
                files_url=submission.files_url,
            )
            most = self._settings.max_pending_images
            async with self._database.intake(new, max_pending=most) as intake:
                await _copy(iter(reader), intake)
                await self._database.check_file()
                published = await intake.publish(key=submission.idempotency_key)
                reach(Point.CSV_COMMITTED)
                return published


async def _copy(products: Iterator[Product], intake: Intake) -> None:
    reading = _begin_reading(products)
    try:
        while chunk := await asyncio.shield(reading):
            # the next one is read while this one is written: SQLite works without the interpreter's lock
            reading = _begin_reading(products)
            await intake.add(chunk)
    finally:
        # cancelled or not, the thread must be through before the file is closed
        await asyncio.wait({reading})
        if not reading.cancelled():
            reading.exception()  # nobody asks for it where writing failed first


def _begin_reading(products: Iterator[Product]) -> asyncio.Task[list[Product]]:
    return asyncio.create_task(asyncio.to_thread(_chunk, products))


def digest_of(submission: Submission) -> str:
    """Return what is the same for the same CSV with the same options."""
    with submission.csv.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"\0{submission.recipe.key()}\0{submission.webhook_url or ''}".encode())
    return digest.hexdigest()


def _chunk(products: Iterator[Product]) -> list[Product]:
    chunk, weight = [], 0
    for product in products:
        chunk.append(product)
        weight += len(product.cells) + len(product.urls)
        if weight >= CHUNK:
            break
    return chunk
