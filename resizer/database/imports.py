"""Write a batch while its CSV is being read; no query shows it before it is complete."""

import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from json.encoder import encode_basestring
from types import TracebackType
from typing import Self

import aiosqlite

from resizer.database.reader import rows_of
from resizer.database.removal import Removal
from resizer.database.rows import BATCH_COLUMNS, batch_from
from resizer.database.writer import Writer
from resizer.errors import DatabaseFailure, IdempotencyConflict, NoSpace, QueueFull
from resizer.models import Batch, Product, Recipe
from resizer.support.host_key import HostKey

logger = logging.getLogger(__name__)

#: seconds for which an Idempotency-Key is kept (docs/api.md)
KEY_LIFETIME = 24 * 3600.0
#: rows that one statement inserts: SQLite prepares it once, and runs it without the interpreter's lock
TOGETHER = 250

INSERT_BATCH = """
    INSERT INTO batches (request_id, status, filename, columns, digest, quality, format, effort,
                         max_width, max_height, fit, background, webhook_url, origin, files_url, created_at)
    VALUES (:request_id, 'pending', :filename, :columns, :digest, :quality, :format, :effort,
            :max_width, :max_height, :fit, :background, :webhook_url, :origin, :files_url, :created_at)
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
DELETE_OLD_KEYS = "DELETE FROM idempotency_keys WHERE created_at < ?"
INSERT_KEY = "INSERT INTO idempotency_keys (key, batch_id, created_at) VALUES (?, ?, ?)"
SELECT_BY_KEY = f"""
    SELECT {BATCH_COLUMNS}, digest FROM batches
    WHERE ready AND id = (SELECT batch_id FROM idempotency_keys WHERE key = ? AND created_at >= ?)
"""

Row = tuple[int | str, ...]
#: raises where nothing may be written now
Check = Callable[[], Awaitable[None]]
#: numbers of products and images that are written
Written = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBatch:
    """A batch before its rows are read."""

    filename: str
    columns: tuple[str, ...]
    #: of the CSV's bytes and the options
    digest: str
    recipe: Recipe
    webhook_url: str | None
    origin: str
    #: URL of the compressed images, up to the slash before their names
    files_url: str


class Intake:
    """One batch being written: `add` products, then `publish`; leaving it unpublished deletes its rows.

    Products are written when the next ones are added, or with the publishing: a small CSV is one operation.
    """

    def __init__(
        self, writer: Writer, removal: Removal, new: NewBatch, *, check: Check, max_pending: int
    ) -> None:
        self._writer = writer
        self._removal = removal
        self._check = check
        self._new = new
        self._max_pending = max_pending
        self._batch_id = 0
        #: number of images added
        self._images = 0
        #: products added, but not written yet
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
            while await self._removal.delete_some(self._batch_id):
                pass
        except (DatabaseFailure, NoSpace) as failure:
            # raising it here would hide why the upload was refused
            logger.warning("cannot delete a refused upload: %s; retrying at the next start", failure)

    async def add(self, products: Sequence[Product]) -> None:
        """Append products, in the order of the CSV.

        Raises `QueueFull` once there are too many images, `NoSpace`, and `DatabaseFailure`.
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
        """Write products, after the batch itself where they are the first; returns its id and `Written`."""
        batch_id = self._batch_id or await self._insert_batch(connection)
        ordinal, seq = self._written
        images = sum([len(product.urls) for product in products])
        # generators, so that the connection's thread makes the rows and not the event loop
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
        values = {
            **asdict(new),
            **asdict(new.recipe),
            "request_id": str(uuid.uuid4()),
            "columns": json.dumps(new.columns, ensure_ascii=False),
            "created_at": time.time(),
        }
        cursor = await connection.execute(INSERT_BATCH, values)
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has one
        return cursor.lastrowid

    async def publish(self, *, key: str | None = None) -> tuple[Batch, bool]:
        """Make the batch visible; returns it and True, or the batch of the same key and False.

        Raises `QueueFull` where too many images would wait, `IdempotencyConflict` where the key belongs to
        other content, `NoSpace`, and `DatabaseFailure`.
        """
        await self._check()
        now = time.time()

        async def publish(connection: aiosqlite.Connection) -> tuple[Batch, bool]:
            if key is not None:
                await connection.execute(DELETE_OLD_KEYS, (now - KEY_LIFETIME,))
                earlier = await find_by_key(connection, key, self._new.digest, now)
                if earlier is not None:
                    return earlier, False
            ((waiting,),) = await rows_of(connection, SUM_PENDING)
            if waiting + self._images > self._max_pending:
                raise QueueFull(waiting + self._images, self._max_pending)
            batch_id, (products, images) = await self._write(self._last, connection)
            values = (products, images, images, now, batch_id)
            (row,) = await rows_of(connection, PUBLISH_BATCH, values)
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
    """Yield the values of `TOGETHER` rows at once while there are as many; the rest stays in `rows`."""
    for _ in range(count // TOGETHER):
        yield list(chain.from_iterable(islice(rows, TOGETHER)))


async def find_by_key(connection: aiosqlite.Connection, key: str, digest: str, now: float) -> Batch | None:
    """Return the batch made with this Idempotency-Key. Raises `IdempotencyConflict` on other content."""
    rows = await rows_of(connection, SELECT_BY_KEY, (key, now - KEY_LIFETIME))
    if not rows:
        return None
    if rows[0]["digest"] != digest:
        raise IdempotencyConflict
    return batch_from(rows[0])


def _json_list(cells: Iterable[str]) -> str:
    """Return what `json.dumps` does, which makes a new encoder for each of a million rows."""
    return f"[{', '.join(map(encode_basestring, cells))}]"


def _without_empty_end(cells: Sequence[str]) -> Sequence[str]:
    """Drop the empty cells at the end; the result fills short rows up again."""
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return cells[:end]
