import asyncio
import json
import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from pathlib import Path

import aiosqlite
import pytest

from outcomes import done, failed
from resizer.database import Database, Intake, NewBatch, NewDelivery, open_database
from resizer.database.imports import TOGETHER
from resizer.database.migrations import MIGRATIONS, step
from resizer.errors import DatabaseFailure, DatabaseUnusable, ErrorCode, IdempotencyConflict, QueueFull
from resizer.models import (
    Attempt,
    Batch,
    BatchStatus,
    DeliveryStatus,
    Effort,
    Fault,
    Fit,
    ImageStatus,
    Outcome,
    OutputFormat,
    Product,
    Recipe,
)
from resizer.support.host_key import HostKey


def announce(batch: Batch) -> Iterator[NewDelivery]:
    yield NewDelivery(
        webhook_id=f"evt_{batch.request_id}_{batch.finished_at}",
        url="http://receiver/",
        host="receiver:80",
        body=json.dumps({"status": batch.status}),
        first_attempt_at=10.0,
    )


def opened(folder: Path) -> AbstractAsyncContextManager[Database]:
    return open_database(folder / "resizer.db", announce)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path) as database:
        yield database


def new_batch(digest: str = "d") -> NewBatch:
    return NewBatch(
        filename="a.csv",
        columns=("S. No.", "Product Name", "Input Image Urls"),
        digest=digest,
        recipe=Recipe(quality=50, format=OutputFormat.KEEP),
        webhook_url=None,
        origin="http://service",
        files_url="http://service/compressed",
    )


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def rows(folder: Path, table: str) -> int:
    with sqlite3.connect(folder / "resizer.db") as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def products(*counts: int) -> list[Product]:
    """Products with so many images each."""
    return [
        Product(
            line=number + 2,
            serial=str(number),
            name=f"P{number}",
            cells=(str(number), f"P{number}", "…"),
            urls=tuple(f"http://h/{number}-{image}.jpg" for image in range(count)),
        )
        for number, count in enumerate(counts)
    ]


async def published(database: Database, *counts: int, key: str | None = None, digest: str = "d") -> Batch:
    async with database.intake(new_batch(digest), max_pending=2000) as intake:
        await intake.add(products(*counts))
        batch, _ = await intake.publish(key=key)
    return batch


async def state(database: Database, batch: Batch) -> Batch:
    found = await database.batch_by_id(batch.id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "completed, refused, status",
    [
        (3, 0, BatchStatus.COMPLETED),
        (2, 1, BatchStatus.PARTIAL),
        (0, 3, BatchStatus.FAILED),
    ],
)
async def test_last_outcome_gives_the_final_status(
    completed: int, refused: int, status: BatchStatus, database: Database
) -> None:
    batch = await published(database, 3)
    outcomes = [done(batch.id, seq) for seq in range(completed)]
    outcomes += [failed(batch.id, completed + seq) for seq in range(refused)]
    for outcome in outcomes[:-1]:
        await database.record(outcome)
        assert not (await state(database, batch)).done
    await database.record(outcomes[-1])
    ended = await state(database, batch)
    assert (ended.status, ended.completed, ended.failed, ended.pending) == (status, completed, refused, 0)
    assert (ended.input_bytes, ended.output_bytes) == (2 * completed, completed)
    assert ended.finished_at is not None


async def test_outcome_that_comes_twice_counts_once(database: Database) -> None:
    batch = await published(database, 2)
    await asyncio.gather(*(database.record(done(batch.id, 0)) for _ in range(5)))
    await database.record(failed(batch.id, 0))
    now = await state(database, batch)
    assert (now.completed, now.failed, now.pending) == (1, 0, 1)


async def test_final_status_and_event_are_one_transaction(database: Database) -> None:
    batch = await published(database, 1)
    assert await database.deliveries.of_batches(batch.id) == []
    await database.record(done(batch.id, 0))
    await database.record(done(batch.id, 0))
    (delivery,) = await database.deliveries.of_batches(batch.id)
    assert json.loads(delivery.body) == {"status": "completed"}
    assert delivery.next_attempt_at == 10.0


async def test_event_that_cannot_be_written_undoes_the_final_status(tmp_path: Path) -> None:
    def broken(_: Batch) -> Iterator[NewDelivery]:
        raise RuntimeError("no event")
        yield

    async with open_database(tmp_path / "resizer.db", broken) as database:
        batch = await published(database, 1)
        with pytest.raises(RuntimeError, match="no event"):
            await database.record(done(batch.id, 0))
        assert (await state(database, batch)).pending == 1


async def test_who_listens_is_told_of_each_end_once(database: Database) -> None:
    ended: list[Batch] = []
    database.writer.on_finished = ended.append
    first, second = await published(database, 5), await published(database, 5)
    await asyncio.gather(
        *(database.record(done(batch.id, seq)) for batch in (first, second) for seq in range(5))
    )
    assert sorted(batch.id for batch in ended) == [first.id, second.id]
    assert all(batch.done for batch in ended)


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
    async with opened(tmp_path) as database:
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


async def test_intake_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as database, database.intake(new_batch(), max_pending=5) as intake:
        await intake.add(products(2))
        await intake.add(products(2))
        assert rows(tmp_path, "images") == 2
        with pytest.raises(QueueFull):
            await intake.add(products(2))
    assert rows(tmp_path, "batches") == rows(tmp_path, "images") == rows(tmp_path, "products") == 0


async def test_intake_that_a_crash_cut_off_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        intake = Intake(database.writer, new_batch(), check=database.check_space, max_pending=10)
        await intake.__aenter__()
        await intake.add(products(3))
        await intake.add(products(1))
    assert rows(tmp_path, "images") == 3
    async with opened(tmp_path) as database:
        (batch_id,) = await database.removal.forgotten()
        while await database.removal.delete_some(batch_id):
            pass
    assert rows(tmp_path, "batches") == rows(tmp_path, "images") == rows(tmp_path, "products") == 0


async def test_full_queue_takes_nothing_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await published(database, 1200)
        with pytest.raises(QueueFull):
            await published(database, 1200)
        assert len(await database.unfinished()) == 1
    assert rows(tmp_path, "images") == 1200


async def test_key_answers_the_first_batch_for_a_day(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        first = await published(database, 1, key="k")
        assert (await published(database, 1, key="k")).id == first.id
        with pytest.raises(IdempotencyConflict):
            await published(database, 1, key="k", digest="other")
        with sqlite3.connect(tmp_path / "resizer.db") as connection:
            connection.execute("UPDATE idempotency_keys SET created_at = created_at - 86401")
        assert (await published(database, 1, key="k", digest="other")).id != first.id
    assert rows(tmp_path, "batches") == 2


async def test_result_comes_product_by_product_in_order(database: Database) -> None:
    counts = [2, 0, 1] * 400
    batch = await published(database, *counts)
    await database.record(done(batch.id, 1))
    result = [row async for row in database.result(batch.id)]
    assert [len(row.images) for row in result] == counts
    assert [row.cells[1] for row in result] == [f"P{number}" for number in range(len(counts))]
    assert [image.seq for row in result for image in row.images] == list(range(sum(counts)))
    assert result[0].images[1].compressed is not None


async def test_images_are_filtered_by_status(database: Database) -> None:
    batch = await published(database, 2, 2)
    await database.record(failed(batch.id, 2))
    (image,) = await database.images(batch.id, limit=10, status=ImageStatus.FAILED)
    assert (image.line, image.product_name, image.position) == (3, "P1", 1)
    assert image.fault is not None
    assert [each.seq for each in await database.images(batch.id, after=1, limit=1)] == [2]


async def test_reopened_batch_has_its_failed_images_to_do(database: Database) -> None:
    batch = await published(database, 3)
    for outcome in (done(batch.id, 0), failed(batch.id, 1), failed(batch.id, 2)):
        await database.record(outcome)
    again, images = await database.outcomes.reopen(batch.id)
    assert images == 2
    assert again is not None
    assert (again.status, again.pending, again.completed, again.failed) == (BatchStatus.PROCESSING, 2, 1, 0)
    assert again.finished_at is None
    for seq in (1, 2):
        await database.record(done(batch.id, seq))
    assert (await state(database, batch)).status is BatchStatus.COMPLETED


async def test_deliveries_are_due_by_time_and_keep_every_try(database: Database) -> None:
    batch = await published(database, 1)
    await database.record(done(batch.id, 0))
    assert await database.deliveries.next_delivery_at() == 10.0
    assert await database.deliveries.due_deliveries(9.9, limit=10) == []
    (delivery,) = await database.deliveries.due_deliveries(10.0, limit=10)
    tries = [Attempt(at=10.0, http_status=500, error="it failed", seconds=0.5)]
    tries += [Attempt(at=15.0, http_status=204, error=None, seconds=0.25)]
    await database.deliveries.record_attempt(
        delivery, tries[0], status=DeliveryStatus.PENDING, next_attempt_at=15.0
    )
    assert await database.deliveries.next_delivery_at() == 15.0
    (delivery,) = await database.deliveries.due_deliveries(15.0, limit=10)
    await database.deliveries.record_attempt(
        delivery, tries[1], status=DeliveryStatus.DELIVERED, next_attempt_at=None
    )
    (delivery,) = await database.deliveries.of_batches(batch.id)
    assert list(delivery.attempts) == tries
    assert delivery.status is DeliveryStatus.DELIVERED
    assert await database.deliveries.next_delivery_at() is None


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


async def test_operation_that_fails_is_undone_alone(database: Database) -> None:
    """What is committed with it is kept."""
    batch = await published(database, 2)

    async def broken(connection: object) -> None:
        del connection
        raise ValueError("mine alone")

    results = await asyncio.gather(
        database.record(done(batch.id, 0)),
        database.writer.run(broken),
        database.start(batch.id),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    now = await state(database, batch)
    assert (now.completed, now.status) == (1, BatchStatus.PROCESSING)


async def test_files_are_condemned_once_though_another_operation_fails(database: Database) -> None:
    """What came together with it is undone, and done again."""
    names = [f"{number:032x}.jpg" for number in range(3)]
    for name in names:
        await database.removal.note([name])

    async def broken(connection: object) -> None:
        del connection
        raise ValueError("mine alone")

    batch = await published(database, 1)
    await database.outcomes.begin_cancel(batch.id)
    await database.outcomes.cancel_some(batch.id)
    late = done(batch.id, 0)
    assert late.compressed is not None
    await database.removal.note([late.compressed.filename])
    names = sorted({*names, late.compressed.filename})
    settled, condemned, failed = await asyncio.gather(
        database.outcomes.record(late),
        database.removal.condemn(after="", limit=10),
        database.writer.run(broken),
        return_exceptions=True,
    )
    assert settled is None
    assert isinstance(failed, ValueError)
    assert condemned == (names, names[-1])
    assert database.removal.is_doubtful(math.inf)
    await database.removal.removed(names)
    assert not database.removal.is_doubtful(math.inf)


async def test_operation_that_fails_by_itself_is_undone(database: Database) -> None:
    """Nothing else is in its transaction."""
    batch = await published(database, 2)

    async def broken(connection: aiosqlite.Connection) -> None:
        await connection.execute("UPDATE batches SET completed = 2 WHERE id = ?", (batch.id,))
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        await database.writer.run(broken)
    await database.start(batch.id)
    now = await state(database, batch)
    assert (now.completed, now.status) == (0, BatchStatus.PROCESSING)


async def test_cancelled_caller_does_not_stop_the_writer(database: Database) -> None:
    batch = await published(database, 2)
    task = asyncio.create_task(database.record(done(batch.id, 0)))
    await asyncio.sleep(0)
    task.cancel()
    await database.record(done(batch.id, 1))
    assert (await state(database, batch)).completed == 2


async def test_locked_database_is_a_fault_of_ours_and_passes(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        batch = await published(database, 1)
        await database.writer.run(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
        other = sqlite3.connect(tmp_path / "resizer.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseFailure, match="locked"):
            await database.record(done(batch.id, 0))
        other.execute("ROLLBACK")
        other.close()
        await database.record(done(batch.id, 0))
        assert (await state(database, batch)).done


async def test_commit_is_on_disk(database: Database, tmp_path: Path) -> None:
    async def pragmas(connection: aiosqlite.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        found = []
        for name in names:
            (row,) = await connection.execute_fetchall(f"PRAGMA {name}")
            found.append(row[0])
        return found

    assert await database.writer.run(pragmas) == ["wal", 2, 1]
    assert (tmp_path / "resizer.db-wal").exists()


@pytest.mark.parametrize(
    "prepare, told",
    [
        (lambda path: path.write_bytes(b"no database" * 500), "not a database"),
        (lambda path: path.mkdir(), "unable to open"),
        (newer, "newer version"),
    ],
)
async def test_database_that_cannot_be_used_is_refused(
    prepare: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    prepare(tmp_path / "resizer.db")
    with pytest.raises(DatabaseUnusable, match=told):
        async with opened(tmp_path):
            pass


async def test_an_event_sent_again_has_its_whole_schedule_before_it(database: Database) -> None:
    batch = await published(database, 1)
    assert await database.deliveries.send_again(batch.id, 99.0) == 0
    await database.record(done(batch.id, 0))
    (stale,) = await database.deliveries.of_batches(batch.id)
    attempt = Attempt(at=10.0, http_status=500, error="it failed", seconds=0.5)
    deliveries = database.deliveries
    await deliveries.record_attempt(stale, attempt, status=DeliveryStatus.FAILED, next_attempt_at=None)
    assert await deliveries.send_again(batch.id, 99.0) == 1
    (delivery,) = await deliveries.of_batches(batch.id)
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.PENDING, 99.0)
    assert (delivery.webhook_id, len(delivery.attempts), delivery.earlier_tries) == (stale.webhook_id, 1, 1)
    # a try that was under way meanwhile is kept, but decides nothing
    await deliveries.record_attempt(stale, attempt, status=DeliveryStatus.DELIVERED, next_attempt_at=None)
    (delivery,) = await deliveries.of_batches(batch.id)
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.PENDING, 99.0)
    assert len(delivery.attempts) == 2


async def test_a_database_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
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
    async with open_database(path, lambda _: ()) as database:
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
    async with open_database(path, lambda _: ()) as database:
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


async def test_recipe_comes_back_as_it_was_given(database: Database) -> None:
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


async def test_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as database:
        await published(database, 1)
    steps = (*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE batches (x);")
    monkeypatch.setattr("resizer.database.migrations.MIGRATIONS", steps)
    with pytest.raises(DatabaseUnusable, match="already exists"):
        async with opened(tmp_path):
            pass
    monkeypatch.undo()
    async with opened(tmp_path) as database:
        assert len(await database.unfinished()) == 1
    assert rows(tmp_path, "sqlite_master WHERE name = 'more'") == 0


async def test_outcome_that_cannot_be_written_fails_alone(database: Database) -> None:
    batch = await published(database, 3)
    fault = Fault(code=ErrorCode.CONNECT, message="\udcff")
    bad = Outcome(batch_id=batch.id, seq=1, attempts=1, fault=fault)
    results = await asyncio.gather(
        database.record(done(batch.id, 0)),
        database.record(bad),
        database.record(done(batch.id, 2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), UnicodeEncodeError, type(None)]
    assert (await state(database, batch)).completed == 2


async def test_listener_that_fails_does_not_end_the_writer(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(batch: Batch) -> None:
        raise RuntimeError(f"not {batch.id}")

    database.writer.on_finished = broken
    first, second = await published(database, 1), await published(database, 1)
    await database.record(done(first.id, 0))
    await database.record(done(second.id, 0))
    assert (await state(database, second)).done
    assert "could not be told" in caplog.text


async def test_batch_of_which_nothing_is_reopened_stays_as_it_is(database: Database) -> None:
    batch = await published(database, 2)
    assert await database.outcomes.reopen(batch.id) == (batch, 0)
    await database.record(done(batch.id, 0))
    await database.record(done(batch.id, 1))
    ended = await state(database, batch)
    assert await database.outcomes.reopen(batch.id) == (ended, 0)


async def test_lost_files_are_reopened_and_counted_right(database: Database) -> None:
    batch = await published(database, 2)
    outcomes = [done(batch.id, 0, size=5), done(batch.id, 1, size=7)]
    for outcome in outcomes:
        await database.record(outcome)
    assert outcomes[0].compressed is not None
    again, _ = await database.outcomes.reopen(batch.id, lost={outcomes[0].compressed.filename})
    assert again is not None
    assert (again.pending, again.completed, again.output_bytes) == (1, 1, 7)
    await database.record(outcomes[0])
    assert (await state(database, batch)).output_bytes == 12
