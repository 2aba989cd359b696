"""Import a CSV: read it in a thread and write its batch, which is invisible until complete."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from resizer.catalog import CatalogReader
from resizer.catalog.content import Content, InMemory
from resizer.config import QueueSettings
from resizer.database import Database, Intake, NewBatch
from resizer.errors import QueueFull
from resizer.models import Batch, Product, Recipe
from resizer.support.failpoints import Point, reach
from resizer.support.keyed_lock import KeyedLock
from resizer.support.shielded import shielded

#: cells and URLs read and written at once; a product may have two of them or a hundred thousand
CHUNK = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """An upload: a complete CSV, and the options for it."""

    csv: Content
    filename: str
    recipe: Recipe
    webhook_url: str | None = None
    origin: str
    files_url: str
    idempotency_key: str | None = None


class Importer:
    """Turns submissions into batches."""

    def __init__(self, database: Database, settings: QueueSettings) -> None:
        self._database = database
        self._settings = settings
        # uploads with the same Idempotency-Key take turns: only the first one is imported
        self._locks = KeyedLock()

    async def check_room(self) -> None:
        """Raise `QueueFull` or `NoSpace` where no upload can be accepted, whatever its size."""
        await self._database.check_space()
        pending = await self._database.pending_images()
        if pending >= self._settings.max_pending_images:
            raise QueueFull(pending, self._settings.max_pending_images)

    async def import_csv(self, submission: Submission) -> tuple[Batch, bool]:
        """Return the batch, on disk, and whether it is new; a repeated key returns the first batch.

        Raises `CatalogError`, `QueueFull`, `IdempotencyConflict`, `NoSpace`; nothing is queued then.
        """
        key = submission.idempotency_key
        digest = await digest_of(submission)
        if key is None:
            return await self._write(submission, digest)
        async with self._locks.of(key):
            earlier = await self._database.batch_with_key(key, digest)
            if earlier is not None:
                return earlier, False
            return await self._write(submission, digest)

    async def _write(self, submission: Submission, digest: str) -> tuple[Batch, bool]:
        async with _opened(submission.csv) as (reader, chunks, first):
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
                await _copy(first, chunks, intake)
                published = await intake.publish(key=submission.idempotency_key)
                reach(Point.CSV_COMMITTED)
                return published


async def _copy(first: "_Chunk", chunks: Iterator["_Chunk"], intake: Intake) -> None:
    chunk = first
    while chunk.more:
        # the next one is read while this one is written: SQLite works without the interpreter's lock
        reading = asyncio.create_task(asyncio.to_thread(next, chunks))
        try:
            await intake.add(chunk.products)
        except BaseException:
            # the thread must end before the file is closed; its result is not needed
            await shielded(asyncio.wait({reading}))
            if not reading.cancelled():
                reading.exception()
            raise
        chunk = await shielded(reading)
    await intake.add(chunk.products)


async def digest_of(submission: Submission) -> str:
    """Return a digest of the CSV and its options."""
    if isinstance(submission.csv, InMemory):
        return _digest_of(submission)  # faster than a thread
    return await asyncio.to_thread(_digest_of, submission)


def _digest_of(submission: Submission) -> str:
    with submission.csv.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"\0{submission.recipe.options()}\0{submission.webhook_url or ''}".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Chunk:
    products: list[Product]
    #: whether more chunks may follow
    more: bool


#: an open CSV, the chunks to come, and the first one
_Opened = tuple[CatalogReader, Iterator[_Chunk], _Chunk]


@asynccontextmanager
async def _opened(csv: Content) -> AsyncIterator[_Opened]:
    """Open the CSV and read its first chunk, which is all of most CSVs."""
    opening = asyncio.create_task(asyncio.to_thread(_open, csv))
    try:
        opened = await shielded(opening)
    except asyncio.CancelledError:
        if not opening.cancelled() and opening.exception() is None:
            opening.result()[0].close()
        raise
    with opened[0]:
        yield opened


def _open(csv: Content) -> _Opened:
    reader = CatalogReader(csv)
    try:
        chunks = _chunks(reader)
        return reader, chunks, next(chunks)
    except BaseException:
        reader.close()
        raise


def _chunks(products: Iterable[Product]) -> Iterator[_Chunk]:
    chunk: list[Product] = []
    weight = 0
    for product in products:
        chunk.append(product)
        weight += len(product.cells) + len(product.urls)
        if weight >= CHUNK:
            yield _Chunk(chunk, more=True)
            chunk, weight = [], 0
    yield _Chunk(chunk, more=False)
