"""Check the state after a crash, and the results after the restart."""

import csv
import functools
import io
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp

import photos
from origin import Origin
from outcomes import stem
from resizer.compress.codec import compress_file
from resizer.errors import ImageError
from resizer.models import OutputFormat, Recipe

NAME = re.compile(r"[0-9a-f]{32}\.(jpg|png|webp|gif)")

Rows = Sequence[Sequence[str]]


@functools.cache
def name_of(body: bytes) -> str:
    """Return the file name for these bytes; empty if they are not an image."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(body)
        recipe = Recipe(quality=50, format=OutputFormat.KEEP)
        try:
            return compress_file(
                str(source), str(target), stem=stem(body, recipe), recipe=recipe, max_pixels=10**8
            ).filename
        except ImageError:
            return ""


def expected(origin: Origin, rows: Rows) -> list[list[str]]:
    """Return the expected file names of each row, slot for slot; empty for failures."""

    def slot(url: str) -> str:
        answer = origin.answers("/" + url.rpartition("/")[2])[-1]
        return name_of(answer.body) if answer.status == 200 else ""

    return [[slot(url) for url in urls] or [""] for _, *urls in rows]


async def slots_of(session: aiohttp.ClientSession, result_url: str, rows: Rows) -> list[list[str]]:
    """Return the file names in a result, and check its products."""
    async with session.get(result_url) as response:
        result = list(csv.reader(io.StringIO(await response.text(), newline="")))[1:]
    assert [row[1] for row in result] == [row[0] for row in rows]
    return [[slot.rpartition("/")[2] for slot in row[3].split(",")] for row in result]


def check_files(folder: Path) -> None:
    """Check that every file is complete, and that there is no other."""
    for path in (folder / "compressed").iterdir():
        assert NAME.fullmatch(path.name), path
    check_not_torn(folder)
    assert not list((folder / "spool").iterdir())


def check_not_torn(folder: Path) -> None:
    for path in (folder / "compressed").iterdir():
        if not path.name.startswith("."):
            photos.opened(path.read_bytes())


def check_integrity(folder: Path) -> None:
    with database_as_left(folder) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@contextmanager
def database_as_left(folder: Path) -> Iterator[sqlite3.Connection]:
    """Copy the database: opening the file itself would change what the next start finds."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("resizer.db", "resizer.db-wal"):
            if (folder / name).exists():
                shutil.copy(folder / name, scratch)
        with closing(sqlite3.connect(Path(scratch, "resizer.db"))) as connection:
            yield connection
