"""Look up the images of a batch: those that wait, pages of them, and all by product."""

import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass

from resizer.database.reader import Reader
from resizer.database.rows import IMAGE_COLUMNS, image_from
from resizer.models import Image, ImageStatus, Recipe, Task

#: products read at once for a result, and the number of their images at which a page ends
RESULT_PAGE = 500
RESULT_IMAGES = 1000

SELECT_COLUMNS = "SELECT columns FROM batches WHERE id = ?"
SELECT_PRODUCTS = """
    SELECT ordinal, cells, first_image, images FROM products
    WHERE batch_id = ? AND ordinal > ? ORDER BY ordinal LIMIT ?
"""
SELECT_IMAGES_BETWEEN = f"""
    SELECT {IMAGE_COLUMNS} FROM images i JOIN products p USING (batch_id, ordinal)
    WHERE i.batch_id = ? AND i.seq >= ? AND i.seq < ? ORDER BY i.seq
"""
SELECT_IMAGES = f"""
    SELECT {IMAGE_COLUMNS} FROM images i JOIN products p USING (batch_id, ordinal)
    WHERE i.batch_id = ? AND i.seq > ? AND (? IS NULL OR i.status = ?) ORDER BY i.seq LIMIT ?
"""
#: with the status in the text, so that SQLite can use the index of the few that failed
SELECT_FAILED_IMAGES = f"""
    SELECT {IMAGE_COLUMNS} FROM images i JOIN products p USING (batch_id, ordinal)
    WHERE i.batch_id = ? AND i.seq > ? AND i.status = 'failed' ORDER BY i.seq LIMIT ?
"""
SELECT_WAITING = """
    SELECT seq, url, host FROM images
    WHERE batch_id = ? AND seq > ? AND status = 'pending'
        AND host NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?
"""
SELECT_WAITING_OF_HOST = """
    SELECT seq, url, host FROM images INDEXED BY images_waiting
    WHERE batch_id = ? AND host = ? AND seq > ? AND status = 'pending' ORDER BY seq LIMIT ?
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRow:
    """One product of a result."""

    #: as the client sent them, without the empty ones at the end
    cells: tuple[str, ...]
    images: tuple[Image, ...]


class ImageQueries:
    """What can be asked of the images of a batch."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def waiting(
        self, batch_id: int, recipe: Recipe, *, after: int, limit: int, without_hosts: Collection[str] = ()
    ) -> list[tuple[str, Task]]:
        """Return pending images behind `after` in the order of the CSV, each with its host."""
        values = (batch_id, after, json.dumps([*without_hosts]), limit)
        rows = await self._reader.fetch(SELECT_WAITING, values)
        return [_task(batch_id, recipe, row) for row in rows]

    async def waiting_of_host(
        self, batch_id: int, recipe: Recipe, host: str, *, after: int, limit: int
    ) -> list[tuple[str, Task]]:
        rows = await self._reader.fetch(SELECT_WAITING_OF_HOST, (batch_id, host, after, limit))
        return [_task(batch_id, recipe, row) for row in rows]

    async def images(
        self, batch_id: int, *, after: int = -1, limit: int, status: ImageStatus | None = None
    ) -> list[Image]:
        """Return images behind the one numbered `after`, in the order of the CSV."""
        if status is ImageStatus.FAILED:
            rows = await self._reader.fetch(SELECT_FAILED_IMAGES, (batch_id, after, limit))
        else:
            rows = await self._reader.fetch(SELECT_IMAGES, (batch_id, after, status, status, limit))
        return [image_from(row) for row in rows]

    async def columns(self, batch_id: int) -> tuple[str, ...]:
        """Return the CSV's header."""
        ((columns,),) = await self._reader.fetch(SELECT_COLUMNS, (batch_id,))
        return tuple(json.loads(columns))

    async def result(self, batch_id: int) -> AsyncIterator[ResultRow]:
        """Yield the products of a batch in the order of the CSV, with a page of rows in memory at a time."""
        last = -1
        while True:
            rows = await self._reader.fetch(SELECT_PRODUCTS, (batch_id, last, RESULT_PAGE))
            products = _up_to(RESULT_IMAGES, rows)
            if not products:
                return
            last = products[-1]["ordinal"]
            first_image = products[0]["first_image"]
            end = products[-1]["first_image"] + products[-1]["images"]
            found = await self._reader.fetch(SELECT_IMAGES_BETWEEN, (batch_id, first_image, end))
            images = [image_from(row) for row in found]
            for product in products:
                start = product["first_image"] - first_image
                yield ResultRow(
                    cells=tuple(json.loads(product["cells"])),
                    images=tuple(images[start : start + product["images"]]),
                )


def _up_to(images: int, products: Iterable[sqlite3.Row]) -> list[sqlite3.Row]:
    """Return the first products, up to the one that brings them to so many images."""
    page: list[sqlite3.Row] = []
    for product in products:
        page.append(product)
        images -= product["images"]
        if images <= 0:
            break
    return page


def _task(batch_id: int, recipe: Recipe, row: sqlite3.Row) -> tuple[str, Task]:
    return row["host"], Task(batch_id=batch_id, seq=row["seq"], url=row["url"], recipe=recipe)
