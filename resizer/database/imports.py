"""Write a batch while its CSV is being read; nobody sees it before it is whole."""

import json
import logging
import shutil
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from json.encoder import encode_basestring
from pathlib import Path
from types import TracebackType
from typing import Self

import aiosqlite

from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.database.writer import Writer
from resizer.errors import DatabaseFailure, IdempotencyConflict, NoSpace, QueueFull, disk_fault
from resizer.models import Batch, BatchStatus, Product, Recipe
from resizer.support.host_key import HostKey

logger = logging.getLogger(__name__)

#: seconds; how long an Idempotency-Key is kept (contract, section 5)
KEY_LIFETIME = 24 * 3600.0

#: rows deleted at once
FORGET = 20_000

#: bytes of the disk that uploads leave to what was accepted before them: with none left no outcome can be
#: recorded, nor can what a refused upload has written be forgotten
RESERVE = 33_554_432
#: of a disk that is small itself no more than this part of it
RESERVED_PART = 10

#: rows that one statement inserts: SQLite sets it up once, and works so long without the interpreter's lock
TOGETHER = 250

INSERT_BATCH = """
    INSERT INTO batches (request_id, status, filename, columns, digest, quality, format, effort,
                         max_width, max_height, fit, background, webhook_url, origin, files_url, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_PRODUCT = """
    INSERT INTO products (batch_id, ordinal, line, serial, name, cells, first_image, images)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_PRODUCTS = INSERT_PRODUCT + ", (?, ?, ?, ?, ?, ?, ?, ?)" * (TOGETHER - 1)
INSERT_IMAGE = "INSERT INTO images (batch_id, seq, ordinal, position, url, host) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_IMAGES = INSERT_IMAGE + ", (?, ?, ?, ?, ?, ?)" * (TOGETHER - 1)
PUBLISH_BATCH = f"""
    UPDATE batches SET ready = 1, products = ?, images = ?, pending = ?, created_at = ? WHERE id = ?
    RETURNING {BATCH_COLUMNS}
"""
SUM_PENDING = "SELECT coalesce(sum(pending), 0) FROM batches WHERE finished_at IS NULL AND ready"
DELETE_IMAGES_BELOW = "DELETE FROM images WHERE batch_id = ? AND seq < ?"
DELETE_PRODUCTS_BELOW = "DELETE FROM products WHERE batch_id = ? AND ordinal < ?"
DELETE_BATCH = "DELETE FROM batches WHERE id = ?"
DELETE_OLD_KEYS = "DELETE FROM idempotency_keys WHERE created_at < ?"
INSERT_KEY = "INSERT INTO idempotency_keys (key, batch_id, created_at) VALUES (?, ?, ?)"
SELECT_BY_KEY = f"""
    SELECT {BATCH_COLUMNS}, digest FROM batches
    WHERE ready AND id = (SELECT batch_id FROM idempotency_keys WHERE key = ? AND created_at >= ?)
"""

Row = tuple[int | str, ...]
#: raises where nothing is to be written now
Check = Callable[[], Awaitable[None]]
#: products and images of a batch that are written
Written = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBatch:
    """What is known of a batch before its rows are read."""

    filename: str
    columns: tuple[str, ...]
    #: of the CSV's bytes and the options
    digest: str
    recipe: Recipe
    webhook_url: str | None
    origin: str
    #: what stands before `/NAME` in the addresses of compressed images
    files_url: str


class Intake:
    """One batch on its way in: `add` products, then `publish`; left without that, all of it goes again.

    What is added is written when more comes, or else with the publishing: a small CSV is one operation.
    """

    def __init__(self, writer: Writer, new: NewBatch, *, check: Check, max_pending: int) -> None:
        self._writer = writer
        self._check = check
        self._new = new
        self._max_pending = max_pending
        self._batch_id = 0
        #: images that were added
        self._images = 0
        #: of what was added, what is not written yet
        self._last: Sequence[Product] = ()
        self._written: Written = (0, 0)
        self._published = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._published or not self._batch_id:
            return

        try:
            await self._forget()
        except (DatabaseFailure, NoSpace) as failure:
            # the next start forgets it; what is raised here would hide why it came to this
            logger.warning("rows of a refused CSV stay until the next start: %s", failure)

    async def _forget(self) -> None:
        # in steps, so that others can write in between
        products, images = self._written
        for end in range(FORGET, images + FORGET, FORGET):
            await self._delete(DELETE_IMAGES_BELOW, end)
        for end in range(FORGET, products + FORGET, FORGET):
            await self._delete(DELETE_PRODUCTS_BELOW, end)
        await self._delete(DELETE_BATCH)

    async def _delete(self, statement: str, *values: int) -> None:
        async def delete(connection: aiosqlite.Connection) -> None:
            await connection.execute(statement, (self._batch_id, *values))

        await self._writer.run(delete)

    async def add(self, products: Sequence[Product]) -> None:
        """Append products, in the order of the CSV.

        Raises `QueueFull` once they are too many images, `NoSpace`, and `DatabaseFailure`.
        """
        self._images += sum([len(product.urls) for product in products])
        if self._images > self._max_pending:
            raise QueueFull(self._images, self._max_pending)
        before, self._last = self._last, products
        if before:
            await self._check()
            self._batch_id, self._written = await self._writer.run(partial(self._write, before))

    async def _write(
        self, products: Sequence[Product], connection: aiosqlite.Connection
    ) -> tuple[int, Written]:
        """Write products, and the batch before the first; returns its id and how many rows there are then."""
        batch_id = self._batch_id or await self._insert_batch(connection)
        ordinal, seq = self._written
        images = sum([len(product.urls) for product in products])
        # made row by row in the connection's thread, not on the event loop
        rows = _product_rows(batch_id, ordinal, seq, products)
        if len(products) >= TOGETHER:
            await connection.executemany(INSERT_PRODUCTS, _together(rows, len(products)))
        await connection.executemany(INSERT_PRODUCT, rows)
        rows = _image_rows(batch_id, ordinal, seq, products)
        if images >= TOGETHER:
            await connection.executemany(INSERT_IMAGES, _together(rows, images))
        await connection.executemany(INSERT_IMAGE, rows)
        return batch_id, (ordinal + len(products), seq + images)

    async def _insert_batch(self, connection: aiosqlite.Connection) -> int:
        new = self._new
        values = (
            str(uuid.uuid4()),
            BatchStatus.PENDING,
            new.filename,
            json.dumps(new.columns, ensure_ascii=False),
            new.digest,
            new.recipe.quality,
            new.recipe.format,
            new.recipe.effort,
            new.recipe.max_width,
            new.recipe.max_height,
            new.recipe.fit,
            new.recipe.background,
            new.webhook_url,
            new.origin,
            new.files_url,
            time.time(),
        )
        cursor = await connection.execute(INSERT_BATCH, values)
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has one
        return cursor.lastrowid

    async def publish(self, *, key: str | None = None) -> tuple[Batch, bool]:
        """Make the batch visible; returns it and True, or the batch of the same key and False.

        Raises `QueueFull` where more images would wait than may, `IdempotencyConflict` where the key
        stands for other content, `NoSpace`, and `DatabaseFailure`.
        """
        await self._check()
        now = time.time()

        async def publish(connection: aiosqlite.Connection) -> tuple[Batch, bool]:
            if key is not None:
                await connection.execute(DELETE_OLD_KEYS, (now - KEY_LIFETIME,))
                earlier = await find_by_key(connection, key, self._new.digest, now)
                if earlier is not None:
                    return earlier, False
            (waiting,) = next(iter(await connection.execute_fetchall(SUM_PENDING)))
            if waiting + self._images > self._max_pending:
                raise QueueFull(waiting + self._images, self._max_pending)
            batch_id, (products, images) = await self._write(self._last, connection)
            values = (products, images, images, now, batch_id)
            (row,) = await connection.execute_fetchall(PUBLISH_BATCH, values)
            if key is not None:
                await connection.execute(INSERT_KEY, (key, batch_id, now))
            return batch_from(row), True

        batch, published = await self._writer.run(publish)
        self._published = published
        return batch, published


def _product_rows(batch_id: int, ordinal: int, seq: int, products: Sequence[Product]) -> Iterator[Row]:
    for number, product in enumerate(products, ordinal):
        cells = _json_list(_without_empty_end(product.cells))
        yield batch_id, number, product.line, product.serial, product.name, cells, seq, len(product.urls)
        seq += len(product.urls)


def _image_rows(batch_id: int, ordinal: int, seq: int, products: Sequence[Product]) -> Iterator[Row]:
    for number, product in enumerate(products, ordinal):
        for position, url in enumerate(product.urls, 1):
            # SQLite takes a plain string in two thirds of the time
            yield batch_id, seq, number, position, url, str(HostKey.of(url))
            seq += 1


def _together(rows: Iterator[Row], count: int) -> Iterator[list[int | str]]:
    """Yield the values of `TOGETHER` of these rows at once, as often as that goes; the rest stays."""
    for _ in range(count // TOGETHER):
        yield list(chain.from_iterable(islice(rows, TOGETHER)))


def check_space(folder: Path) -> None:
    """Raise `NoSpace` where an upload would take the last of the disk; blocks."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise DatabaseFailure(disk_fault(error, folder)) from error
    if usage.free < min(RESERVE, usage.total // RESERVED_PART):
        raise NoSpace


async def find_by_key(connection: aiosqlite.Connection, key: str, digest: str, now: float) -> Batch | None:
    """Return the batch that this Idempotency-Key made. Raises `IdempotencyConflict` on other content."""
    rows: list[sqlite3.Row] = list(
        await connection.execute_fetchall(SELECT_BY_KEY, (key, now - KEY_LIFETIME))
    )
    if not rows:
        return None
    if rows[0]["digest"] != digest:
        raise IdempotencyConflict
    return batch_from(rows[0])


def _json_list(cells: Iterable[str]) -> str:
    """Return what `json.dumps` does, which would make an encoder anew for each of a million rows."""
    return f"[{', '.join(map(encode_basestring, cells))}]"


def _without_empty_end(cells: Sequence[str]) -> Sequence[str]:
    """Drop what a short row was filled up with; `result` fills it up again."""
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return cells[:end]
