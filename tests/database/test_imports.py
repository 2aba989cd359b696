"""An upload is written as it was read, and shown once it is complete."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from databases import new_batch, opened_database, products, published, rows, state
from resizer.database import Database
from resizer.database.imports import TOGETHER
from resizer.errors import IdempotencyConflict, QueueFull
from resizer.models import Effort, Fit, OutputFormat, Product, Recipe
from resizer.support.host_key import HostKey


async def test_batch_is_not_seen_before_it_is_whole(database: Database) -> None:
    async with database.intake(new_batch(), max_pending=10) as intake:
        await intake.add(products(1))
        assert await database.unfinished() == []
        assert await database.pending_images() == 0
        batch, _ = await intake.publish()
    assert [each.id for each in await database.unfinished()] == [batch.id]


async def test_every_row_of_a_large_csv_is_kept_as_it_came(tmp_path: Path) -> None:
    urls = (
        "http://A.example/1.jpg",
        "http://u@b:81?c/1",
        "ftp:x://b:81",
        "b:81/1",
        "http://b:81",
        "http://b:8/1",
    )
    came = [
        Product(
            line=2 * number,
            serial=f"№ {number}",
            name='a "b"\\\t\x7f\u2028',
            cells=("", f'"{number}"', "é😀\r\n\x01", *[""] * (number % 3)),
            urls=urls[: number % 7],
        )
        for number in range(3 * TOGETHER + 5)
    ]
    async with opened_database(tmp_path / "resizer.db") as database:
        async with database.intake(new_batch(), max_pending=10**6) as intake:
            for start in range(0, len(came), TOGETHER + 1):
                await intake.add(came[start : start + TOGETHER + 1])
            batch, _ = await intake.publish()
        result = [row async for row in database.result(batch.id)]
        images = await database.images(batch.id, limit=10**6)
    filled = [
        row.cells + ("",) * (len(product.cells) - len(row.cells))
        for row, product in zip(result, came, strict=True)
    ]
    assert filled == [product.cells for product in came]
    assert [tuple(image.url for image in row.images) for row in result] == [product.urls for product in came]
    assert [
        (image.seq, image.line, image.serial, image.product_name, image.position) for image in images
    ] == [
        (seq, product.line, product.serial, product.name, position)
        for seq, (product, position) in enumerate(
            (product, position) for product in came for position, _ in enumerate(product.urls, 1)
        )
    ]
    with closing(sqlite3.connect(tmp_path / "resizer.db")) as connection:
        hosts = connection.execute("SELECT url, host FROM images")
        assert all(host == HostKey.of(url) for url, host in hosts)
        assert all(
            text == json.dumps(json.loads(text), ensure_ascii=False)
            for (text,) in connection.execute("SELECT cells FROM products")
        )


async def test_refused_intake_leaves_nothing(database: Database, tmp_path: Path) -> None:
    async with database.intake(new_batch(), max_pending=5) as intake:
        await intake.add(products(2))
        await intake.add(products(2))
        assert rows(tmp_path, "images") == 2
        with pytest.raises(QueueFull):
            await intake.add(products(2))
    assert rows(tmp_path, "batches") == rows(tmp_path, "images") == rows(tmp_path, "products") == 0


async def test_intake_cut_off_by_a_crash_is_deleted_after_the_next_start(tmp_path: Path) -> None:
    async with opened_database(tmp_path / "resizer.db") as database:
        intake = database.intake(new_batch(), max_pending=10)
        await intake.__aenter__()
        await intake.add(products(3))
        await intake.add(products(1))
    assert rows(tmp_path, "images") == 3
    async with opened_database(tmp_path / "resizer.db") as database:
        (batch_id,) = await database.removal.forgotten()
        while await database.removal.delete_some(batch_id):
            pass
    assert rows(tmp_path, "batches") == rows(tmp_path, "images") == rows(tmp_path, "products") == 0


async def test_full_queue_takes_nothing_in(tmp_path: Path) -> None:
    async with opened_database(tmp_path / "resizer.db") as database:
        await published(database, 1200)
        with pytest.raises(QueueFull):
            await published(database, 1200)
        assert len(await database.unfinished()) == 1
    assert rows(tmp_path, "images") == 1200


async def test_key_answers_the_first_batch_for_a_day(tmp_path: Path) -> None:
    async with opened_database(tmp_path / "resizer.db") as database:
        first = await published(database, 1, key="k")
        assert (await published(database, 1, key="k")).id == first.id
        with pytest.raises(IdempotencyConflict):
            await published(database, 1, key="k", digest="other")
        with sqlite3.connect(tmp_path / "resizer.db") as connection:
            connection.execute("UPDATE idempotency_keys SET created_at = created_at - 86401")
        assert (await published(database, 1, key="k", digest="other")).id != first.id
    assert rows(tmp_path, "batches") == 2


async def test_recipe_is_read_as_it_was_given(database: Database) -> None:
    recipe = Recipe(
        quality=7,
        format=OutputFormat.AVIF,
        effort=Effort.SMALL,
        max_width=30,
        max_height=40,
        fit=Fit.COVER,
        background="#102030",
    )
    async with database.intake(replace(new_batch(), recipe=recipe), max_pending=10) as intake:
        await intake.add(products(1))
        batch, _ = await intake.publish()
    assert batch.recipe == recipe
    assert (await state(database, batch)).recipe == recipe
