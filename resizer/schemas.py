"""What clients are told of a batch: the JSON bodies of the contract, where it is called a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from resizer.models import Batch, Delivery, DeliveryStatus, Image
from resizer.recipe import WHITE

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Where clients find things; both without a slash at the end."""

    #: what stands before `/status/…`
    origin: str
    #: what stands before `/NAME` of a compressed image
    files: str


def upload_body(batch: Batch, links: Links) -> Json:
    return {
        "request_id": batch.request_id,
        "status": batch.status,
        "products": batch.products,
        "images": batch.images,
        "status_url": status_url(batch, links),
        "result_url": f"{links.origin}/result/{batch.request_id}",
        "created_at": iso(batch.created_at),
    }


def status_body(batch: Batch, links: Links, webhook: Json | None, expires_at: float | None) -> Json:
    return {
        "request_id": batch.request_id,
        "status": batch.status,
        "done": batch.done,
        "filename": batch.filename,
        "products": batch.products,
        "images": {
            "total": batch.images,
            "pending": batch.pending,
            "completed": batch.completed,
            "failed": batch.failed,
            "cancelled": batch.cancelled,
        },
        "bytes": {
            "input": batch.input_bytes,
            "output": batch.output_bytes,
            "saved": batch.input_bytes - batch.output_bytes,
        },
        "recipe": {
            "quality": batch.recipe.quality,
            "format": batch.recipe.format,
            "effort": batch.recipe.effort,
            "max_width": batch.recipe.max_width or None,
            "max_height": batch.recipe.max_height or None,
            "fit": batch.recipe.fit,
            "background": batch.recipe.background if batch.recipe.background != WHITE else None,
        },
        "created_at": iso(batch.created_at),
        "started_at": iso(batch.started_at),
        "finished_at": iso(batch.finished_at),
        "expires_at": iso(expires_at),
        "status_url": status_url(batch, links),
        "result_url": f"{links.origin}/result/{batch.request_id}",
        "images_url": f"{links.origin}/requests/{batch.request_id}/images",
        "archive_url": f"{links.origin}/requests/{batch.request_id}/archive",
        "webhook": webhook,
    }


def webhook_body(url: str, delivery: Delivery | None) -> Json:
    """Return how far the event for `url` has come; `delivery` is None before there is an event."""
    if delivery is None:
        return {"url": url, "status": DeliveryStatus.PENDING, "attempts": 0}
    return {"url": url, "status": delivery.status, "attempts": len(delivery.attempts)}


def image_body(image: Image, links: Links) -> Json:
    done, fault = image.compressed, image.fault
    return {
        "line": image.line,
        "serial": image.serial,
        "product_name": image.product_name,
        "position": image.position,
        "input_url": image.url,
        "status": image.status,
        "output_url": f"{links.files}/{done.filename}" if done else None,
        "format": done.format if done else None,
        "width": done.width if done else None,
        "height": done.height if done else None,
        "input_bytes": done.input_bytes if done else None,
        "output_bytes": done.output_bytes if done else None,
        "attempts": image.attempts,
        "error": (
            {"code": fault.code, "message": fault.message, "http_status": fault.http_status}
            if fault
            else None
        ),
    }


def delivery_body(delivery: Delivery) -> Json:
    return {
        "webhook_id": delivery.webhook_id,
        "url": delivery.url,
        "status": delivery.status,
        "attempts": [
            {
                "at": iso(attempt.at),
                "http_status": attempt.http_status,
                "error": attempt.error,
                "seconds": round(attempt.seconds, 3),
            }
            for attempt in delivery.attempts
        ],
        "next_attempt_at": iso(delivery.next_attempt_at),
    }


def event_body(batch: Batch, status: Json, at: float) -> Json:
    """Return the webhook event of a batch that has got its final status at `at`."""
    return {"type": f"request.{batch.status}", "timestamp": iso(at), "data": status}


def page_body(data: Sequence[Json], following: str | None) -> Json:
    return {"data": list(data), "has_more": following is not None, "next": following}


def status_url(batch: Batch, links: Links) -> str:
    return f"{links.origin}/status/{batch.request_id}"


def iso(seconds: float | None) -> str | None:
    """Write seconds since the epoch as ISO 8601 in UTC, to the second as in the contract's examples."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
