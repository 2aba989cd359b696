"""A database of any released schema is brought up to date, or left as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from databases import opened_database, published, rows
from outcomes import done
from resizer.database import Database
from resizer.database.migrations import MIGRATIONS, step
from resizer.errors import DatabaseUnusable
from resizer.models import Effort, Fit, OutputFormat, Recipe


async def test_database_of_the_first_schema_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "resizer.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.executescript(
            """
            PRAGMA user_version = 1;
            INSERT INTO batches (id, request_id, ready, status, filename, columns, digest, quality, format,
                max_width, max_height, origin, files_url, products, images, completed, input_bytes,
                output_bytes, created_at, finished_at, webhook_url)
            VALUES (1, 'old', 1, 'completed', 'a.csv', '["S"]', 'd', 50, 'keep', 0, 0, 'http://s', 'http://s/c',
                1, 1, 1, 2, 1, 1.0, 2.0, 'http://hook');
            INSERT INTO products VALUES (1, 0, 2, '1', 'P', '["1"]', 0, 1);
            INSERT INTO images (batch_id, seq, ordinal, position, url, host, status, filename, format, width,
                height, input_bytes, output_bytes)
            VALUES (1, 0, 0, 1, 'http://h/a', 'h', 'completed', 'f.jpg', 'jpeg', 1, 1, 2, 1);
            INSERT INTO deliveries (batch_id, webhook_id, url, host, body, next_attempt_at)
            VALUES (1, 'evt_1', 'http://hook', 'hook', '{}', 5.0);
            """
        )
    async with opened_database(path) as database:
        batch = await database.batch("old")
        assert batch is not None
        assert (batch.done, batch.cancelling) == (True, False)
        (image,) = await database.images(batch.id, limit=10)
        assert image.compressed is not None
        (delivery,) = await database.deliveries.due_deliveries(6.0, limit=10)
        assert (delivery.earlier_tries, delivery.request_id) == (0, "old")
        assert await database.cached_results.of(batch, ["http://h/a"]) == {}
        assert await database.removal.forget(batch.id)


async def test_batches_of_the_third_schema_have_the_default_options(tmp_path: Path) -> None:
    path = tmp_path / "resizer.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(3):
            connection.executescript(step(number))
        connection.execute(
            """
            INSERT INTO batches (id, request_id, ready, status, filename, columns, digest, quality, format,
                max_width, max_height, origin, files_url, products, images, pending, created_at)
            VALUES (1, 'old', 1, 'pending', 'a.csv', '["S"]', 'd', 70, 'webp', 800, 0, 'http://s', 'http://s/c',
                1, 1, 1, 1.0)
            """
        )
        connection.commit()
    async with opened_database(path) as database:
        batch = await database.batch("old")
        assert batch is not None
        assert batch.recipe == Recipe(
            quality=70,
            format=OutputFormat.WEBP,
            effort=Effort.BALANCED,
            max_width=800,
            fit=Fit.INSIDE,
            background="white",
        )


async def test_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_database(tmp_path / "resizer.db") as database:
        await published(database, 1)
    steps = (*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE batches (x);")
    monkeypatch.setattr("resizer.database.migrations.MIGRATIONS", steps)
    with pytest.raises(DatabaseUnusable, match="already exists"):
        async with opened_database(tmp_path / "resizer.db"):
            pass
    monkeypatch.undo()
    async with opened_database(tmp_path / "resizer.db") as database:
        assert len(await database.unfinished()) == 1
    assert rows(tmp_path, "sqlite_master WHERE name = 'more'") == 0


async def test_views_show_the_state_slot_for_slot(tmp_path: Path, database: Database) -> None:
    batch = await published(database, 2, 0)
    await database.record(done(batch.id, 1))
    with sqlite3.connect(tmp_path / "resizer.db") as connection:
        requests = connection.execute(
            "SELECT id, status, product_name, input_urls, output_urls FROM processing_request"
        ).fetchall()
        images = connection.execute("SELECT input_url, output_url FROM image_processing").fetchall()
    output = f"http://service/compressed/{1:032x}.jpg"
    assert requests == [
        (batch.request_id, "pending", "P0", "http://h/0-0.jpg,http://h/0-1.jpg", f",{output}"),
        (batch.request_id, "pending", "P1", None, None),
    ]
    assert images == [("http://h/0-0.jpg", None), ("http://h/0-1.jpg", output)]
