"""What must be on the disk of a service that was stopped when all was quiet."""

import json
import sqlite3
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

from customer import Customer
from listener import Listener
from memory import Upload
from settling import reading

import photos
from resizer.database import check_database

KNOWN = {
    "resizer.db", "resizer.db-wal", "resizer.db-shm", "resizer.db.lock", "lock", "webhook.secret", "spool",
    "compressed",
}  # fmt: skip
#: counters of a batch, and what they count
COUNTERS = {
    "images": "count(*)",
    "completed": "total(status = 'completed')",
    "failed": "total(status = 'failed')",
    "cancelled": "total(status = 'cancelled')",
    "pending": "total(status = 'pending')",
    "input_bytes": "total(input_bytes)",
    "output_bytes": "total(output_bytes)",
}


def check_remains(customer: Customer, folder: Path, *, webhook_url: str) -> None:
    """Hold rows and files against what the client knows, and against each other."""
    check_sound(folder / "resizer.db")
    living = dict(customer.memory.living())
    with reading(folder) as connection:
        rows = connection.execute("SELECT * FROM batches").fetchall()
        assert {row["request_id"] for row in rows} == {*living}
        for row in rows:
            upload = living[row["request_id"]]
            try:
                _check_batch(connection, row, upload, customer)
                _check_events(connection, row, upload, customer.listener, webhook_url)
            except AssertionError as error:
                error.add_note(f"request #{upload.number}, {row['request_id']}")
                raise
        _check_keys(connection, living)
        check_named_files(connection, folder / "compressed")
    _check_calls(customer.listener)
    assert {path.name for path in folder.iterdir()} <= KNOWN
    assert not [*(folder / "spool").iterdir()]
    assert not [*(folder / "compressed").glob(".*")]


def check_sound(database: Path) -> None:
    """Integrity, foreign keys and counters, as `resizer check` looks at them."""
    _, faults = check_database(database)
    assert faults == []


def check_named_files(connection: sqlite3.Connection, compressed: Path) -> None:
    """Every file that a row names is there, opens, and is as all its rows say."""
    found = connection.execute(
        "SELECT DISTINCT filename, format, width, height, output_bytes FROM images WHERE filename IS NOT NULL"
    ).fetchall()
    told = Counter(row["filename"] for row in found)
    assert set(told.values()) <= {1}, f"rows of one file differ: {told.most_common(1)}"
    for row in found:
        data = (compressed / row["filename"]).read_bytes()
        image = photos.opened(data)
        is_so = (str(image.format).lower(), *image.size, len(data))
        assert is_so == (row["format"], row["width"], row["height"], row["output_bytes"]), row["filename"]


def check_no_file_without_row(folder: Path) -> None:
    """Every file is named by a row; to be asked once those that are older than the grace are collected."""
    with reading(folder) as connection:
        named = {row["filename"] for row in connection.execute("SELECT DISTINCT filename FROM images")}
    left = {path.name for path in (folder / "compressed").iterdir()} - named
    assert not left, f"files that no row names: {sorted(left)}"


def _check_batch(connection: sqlite3.Connection, row: sqlite3.Row, upload: Upload, shop: Customer) -> None:
    images = connection.execute(
        "SELECT * FROM images WHERE batch_id = ? ORDER BY seq", [row["id"]]
    ).fetchall()
    assert [image["url"] for image in images] == [url for urls in upload.urls for url in urls]
    counted = connection.execute(
        f"SELECT {', '.join(COUNTERS.values())} FROM images WHERE batch_id = ?", [row["id"]]
    ).fetchone()
    assert [row[name] for name in COUNTERS] == [*counted]
    assert row["pending"] == 0
    assert row["status"] == _end(row)
    assert row["finished_at"] is not None
    assert not row["cancelling"]
    assert upload.cancels or not row["cancelled"]
    for image in images:
        _check_outcome(image)
        if image["filename"]:
            stem = image["filename"].partition(".")[0]
            assert stem in shop.shop.stems(image["url"], upload.recipe), dict(image)
    products = connection.execute(
        "SELECT cells FROM products WHERE batch_id = ? ORDER BY ordinal", [row["id"]]
    ).fetchall()
    assert len(products) == row["products"] == len(upload.cells)


def _end(row: sqlite3.Row) -> str:
    if row["cancelled"]:
        return "cancelled"
    if not row["failed"]:
        return "completed"
    return "partial" if row["completed"] else "failed"


def _check_outcome(image: sqlite3.Row) -> None:
    """One outcome, whole: a file with all its figures, or an error, or neither where it was cancelled."""
    file = [image[name] for name in ("filename", "format", "width", "height", "input_bytes", "output_bytes")]
    error = [image[name] for name in ("error_code", "error_message")]
    filled = {"completed": (True, False), "failed": (False, True), "cancelled": (False, False)}
    has_file, has_error = filled[image["status"]]
    assert [value is not None for value in file] == [has_file] * len(file), dict(image)
    assert [value is not None for value in error] == [has_error] * len(error), dict(image)


def _check_events(
    connection: sqlite3.Connection, row: sqlite3.Row, upload: Upload, listener: Listener, webhook_url: str
) -> None:
    """One event for each end, one delivery for each receiver; the last tells the end that there is now."""
    deliveries = connection.execute(
        "SELECT d.*, (SELECT count(*) FROM attempts WHERE delivery_id = d.id AND http_status IS NOT NULL) AS "
        "answered FROM deliveries d WHERE batch_id = ? ORDER BY id",
        [row["id"]],
    ).fetchall()
    receivers = [url for url in (upload.webhook_url, webhook_url) if url]
    events = [[*group] for _, group in groupby(deliveries, lambda each: each["webhook_id"])]
    assert [[each["url"] for each in event] for event in events] == [receivers] * len(events)
    assert len({event[0]["webhook_id"] for event in events}) == len(events)
    if not receivers:
        return
    assert 1 <= len(events) <= 1 + upload.retries, [dict(each) for each in deliveries]
    last: dict[str, Any] = json.loads(events[-1][0]["body"])
    assert last["type"] == f"request.{row['status']}"
    for name in ("completed", "failed", "cancelled", "pending"):
        assert last["data"]["images"][name] == row[name], last
    calls = listener.by_event()
    for delivery in deliveries:
        arrived = calls[delivery["webhook_id"], delivery["url"]]
        assert delivery["status"] in {"delivered", "failed"}
        assert any(call.status < 300 for call in arrived) or delivery["status"] == "failed"
        assert delivery["answered"] <= len(arrived)
        assert {call.body.decode() for call in arrived} <= {delivery["body"]}


def _check_keys(connection: sqlite3.Connection, living: dict[str, Upload]) -> None:
    kept = dict(
        connection.execute("SELECT key, request_id FROM idempotency_keys k JOIN batches b ON b.id = batch_id")
    )
    assert kept == {upload.key: request_id for request_id, upload in living.items() if upload.key}


def _check_calls(listener: Listener) -> None:
    """All tries of an event say the same, and no two events have one id."""
    requests: dict[str, set[str]] = {}
    for (webhook_id, url), calls in listener.by_event().items():
        assert len({call.body for call in calls}) == 1, f"{webhook_id} told {url} two things"
        requests.setdefault(webhook_id, set()).add(calls[0].payload["data"]["request_id"])
    assert all(len(found) == 1 for found in requests.values()), requests
