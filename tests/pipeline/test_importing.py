"""A CSV is read on while what was read before is written."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from resizer.database import Database
from resizer.errors import CatalogError, QueueFull, ResizerError
from resizer.models import OutputFormat, Recipe
from resizer.pipeline import importing
from resizer.pipeline.importing import Importer, Submission
from service import HEADER, settings_for

ROW = "1,a,http://h/1.jpg\n"


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK", 40)  # ten of these rows


def submission(folder: Path, rows: str) -> Submission:
    path = folder / "products.csv"
    path.write_text(f"{HEADER}\n{rows}")
    recipe = Recipe(quality=50, format=OutputFormat.KEEP)
    return Submission(
        csv=path, filename="a.csv", recipe=recipe, origin="http://h", files_url="http://h/compressed"
    )


def importer(database: Database, folder: Path, *, most: int) -> Importer:
    return Importer(database, settings_for(folder, queue={"max_pending_images": most}).queue)


async def test_chunks_come_in_the_order_of_the_csv(database: Database, tmp_path: Path) -> None:
    rows = "".join(f"{number},a,http://h/{number}.jpg\n" for number in range(95))
    batch, _ = await importer(database, tmp_path, most=95).import_csv(submission(tmp_path, rows))
    images = await database.images(batch.id, limit=1000)
    assert [image.serial for image in images] == [*map(str, range(95))]


@pytest.mark.parametrize(
    "rows, most, error",
    [
        pytest.param(ROW * 25 + "2,,\n", 1000, CatalogError, id="reading fails"),
        pytest.param(ROW * 25, 5, QueueFull, id="writing fails"),
        pytest.param(ROW * 15 + "2,,\n", 5, QueueFull, id="both fail"),
    ],
)
async def test_a_csv_that_fails_half_way_leaves_nothing(
    rows: str, most: int, error: type[ResizerError], database: Database, tmp_path: Path
) -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    with pytest.raises(error):
        await importer(database, tmp_path, most=most).import_csv(submission(tmp_path, rows))
    assert await database.newest(limit=10) == []
    assert await database.pending_images() == 0
    assert not unseen
