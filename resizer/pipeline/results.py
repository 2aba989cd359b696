"""Stream the result: the client's CSV with the outcomes of its images."""

from collections.abc import AsyncIterator

from resizer.catalog import ResultWriter, Slot
from resizer.database import Database
from resizer.errors import BatchNotFound
from resizer.models import Batch, Image

#: cells and images written at once: some milliseconds between two turns of the event loop
CHUNK = 2000


async def result_csv(
    database: Database, batch: Batch, *, files_url: str, detail: bool = False
) -> AsyncIterator[bytes]:
    """Yield the result piece by piece; output URLs are `files_url`/NAME.

    Raises `BatchNotFound` at the end where the batch was deleted in between and rows may be missing.
    """
    columns = await database.columns(batch.id)
    writer = ResultWriter(columns, detail=detail)
    yield writer.header()
    products: list[tuple[tuple[str, ...], list[Slot]]] = []
    weight = 0
    async for row in database.result(batch.id):
        cells = row.cells + ("",) * (len(columns) - len(row.cells))
        products.append((cells, [_slot(image, files_url) for image in row.images]))
        weight += len(cells) + len(row.images)
        if weight >= CHUNK:
            yield writer.products(products)
            products, weight = [], 0
    if products:
        yield writer.products(products)
    # a batch that is being deleted loses its rows step by step
    if await database.batch_by_id(batch.id) is None:
        raise BatchNotFound(batch.request_id)


def _slot(image: Image, files_url: str) -> Slot:
    done = image.compressed
    return Slot(
        output_url=f"{files_url}/{done.filename}" if done else "",
        error=image.fault.code if image.fault else "",
        input_bytes=done.input_bytes if done else None,
        output_bytes=done.output_bytes if done else None,
    )
