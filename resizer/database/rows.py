"""Rows of the database as models."""

import sqlite3

from resizer.errors import ErrorCode
from resizer.models import (
    Attempt,
    Batch,
    BatchStatus,
    Compressed,
    Delivery,
    DeliveryStatus,
    Effort,
    Fault,
    Fit,
    Image,
    ImageStatus,
    OriginInfo,
    OutputFormat,
    Recipe,
)

BATCH_COLUMNS = """
    id, request_id, status, filename, quality, format, effort, max_width, max_height, fit, background,
    webhook_url, origin, files_url,
    products, images, pending, completed, failed, cancelled, input_bytes, output_bytes,
    created_at, started_at, finished_at, cancelling
"""

IMAGE_COLUMNS = """
    i.seq, i.ordinal, p.line, p.serial, p.name, i.position, i.url, i.status, i.attempts, i.filename, i.format,
    i.width, i.height, i.input_bytes, i.output_bytes, i.error_code, i.error_message, i.error_http_status
"""

DELIVERY_COLUMNS = """
    d.id, d.batch_id, d.webhook_id, d.url, d.host, d.body, d.status, d.next_attempt_at, d.earlier_tries,
    b.request_id
"""


def batch_from(row: sqlite3.Row) -> Batch:
    return Batch(
        id=row["id"],
        request_id=row["request_id"],
        status=BatchStatus(row["status"]),
        filename=row["filename"],
        recipe=Recipe(
            quality=row["quality"],
            format=OutputFormat(row["format"]),
            effort=Effort(row["effort"]),
            max_width=row["max_width"],
            max_height=row["max_height"],
            fit=Fit(row["fit"]),
            background=row["background"],
        ),
        webhook_url=row["webhook_url"],
        origin=row["origin"],
        files_url=row["files_url"],
        products=row["products"],
        images=row["images"],
        pending=row["pending"],
        completed=row["completed"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        input_bytes=row["input_bytes"],
        output_bytes=row["output_bytes"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        cancelling=bool(row["cancelling"]),
    )


def image_from(row: sqlite3.Row) -> Image:
    return Image(
        seq=row["seq"],
        line=row["line"],
        serial=row["serial"],
        product_name=row["name"],
        position=row["position"],
        url=row["url"],
        status=ImageStatus(row["status"]),
        attempts=row["attempts"],
        compressed=compressed_from(row),
        fault=fault_from(row),
    )


def compressed_from(row: sqlite3.Row) -> Compressed | None:
    if row["filename"] is None:
        return None
    return Compressed(
        filename=row["filename"],
        format=row["format"],
        width=row["width"],
        height=row["height"],
        input_bytes=row["input_bytes"],
        output_bytes=row["output_bytes"],
    )


def fault_from(row: sqlite3.Row) -> Fault | None:
    if row["error_code"] is None:
        return None
    return Fault(
        code=ErrorCode(row["error_code"]), message=row["error_message"], http_status=row["error_http_status"]
    )


def delivery_from(row: sqlite3.Row, attempts: tuple[Attempt, ...]) -> Delivery:
    return Delivery(
        id=row["id"],
        batch_id=row["batch_id"],
        webhook_id=row["webhook_id"],
        url=row["url"],
        host=row["host"],
        body=row["body"],
        status=DeliveryStatus(row["status"]),
        attempts=attempts,
        next_attempt_at=row["next_attempt_at"],
        earlier_tries=row["earlier_tries"],
        request_id=row["request_id"],
    )


def source_from(row: sqlite3.Row) -> OriginInfo:
    return OriginInfo(
        digest=row["digest"],
        etag=row["etag"],
        last_modified=row["last_modified"],
        location=row["location"],
        asked_at=row["asked_at"],
    )


def attempt_from(row: sqlite3.Row) -> Attempt:
    return Attempt(at=row["at"], http_status=row["http_status"], error=row["error"], seconds=row["seconds"])
