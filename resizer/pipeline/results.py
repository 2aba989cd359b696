"""The result: the client's CSV with what became of its images."""

from collections.abc import AsyncIterator

from resizer.catalog import ResultWriter, Slot
from resizer.database import Database
from resizer.errors import BatchNotFound
from resizer.models import Batch, Image

#: cells and images written at once: some milliseconds of work between two looks at the event loop
CHUNK = 2000


async def result_csv(
    database: Database, batch: Batch, *, files_url: str, detail: bool = False
) -> AsyncIterator[bytes]:
    """Yield the result piece by piece; `files_url` is what stands before `/NAME` in output URLs.

    Raises `BatchNotFound` at the end where the batch was deleted meanwhile, so that some of it may lack.
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
    # one that is being deleted loses its rows bit by bit
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
