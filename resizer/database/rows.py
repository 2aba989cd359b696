"""Turn rows of the database into models; a column is named as the field that it fills."""

import sqlite3
from dataclasses import fields
from typing import Any, TypeVar

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
    i.seq, p.line, p.serial, p.name, i.position, i.url, i.status, i.attempts, i.filename, i.format,
    i.width, i.height, i.input_bytes, i.output_bytes, i.error_code, i.error_message, i.error_http_status
"""

DELIVERY_COLUMNS = """
    d.id, d.batch_id, d.webhook_id, d.url, d.host, d.body, d.status, d.next_attempt_at, d.earlier_tries,
    b.request_id
"""

FIELDS: dict[type, tuple[str, ...]] = {
    model: tuple(field.name for field in fields(model))
    for model in (Attempt, Batch, Compressed, Delivery, OriginInfo, Recipe)
}

Plain = TypeVar("Plain", Compressed, OriginInfo, Attempt)


def plain_from(model: type[Plain], row: sqlite3.Row) -> Plain:
    """Return a model whose fields are columns of the row as they are."""
    return model(**{name: row[name] for name in FIELDS[model]})


def batch_from(row: sqlite3.Row) -> Batch:
    values: dict[str, Any] = {name: row[name] for name in FIELDS[Batch] if name != "recipe"}
    options: dict[str, Any] = {name: row[name] for name in FIELDS[Recipe]}
    options |= {
        "format": OutputFormat(options["format"]),
        "effort": Effort(options["effort"]),
        "fit": Fit(options["fit"]),
    }
    values |= {"status": BatchStatus(values["status"]), "cancelling": bool(values["cancelling"])}
    return Batch(recipe=Recipe(**options), **values)


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
        compressed=None if row["filename"] is None else plain_from(Compressed, row),
        fault=_fault_from(row),
    )


def _fault_from(row: sqlite3.Row) -> Fault | None:
    if row["error_code"] is None:
        return None
    return Fault(
        code=ErrorCode(row["error_code"]), message=row["error_message"], http_status=row["error_http_status"]
    )


def delivery_from(row: sqlite3.Row, attempts: tuple[Attempt, ...]) -> Delivery:
    values: dict[str, Any] = {name: row[name] for name in FIELDS[Delivery] if name != "attempts"}
    values["status"] = DeliveryStatus(values["status"])
    return Delivery(attempts=attempts, **values)
