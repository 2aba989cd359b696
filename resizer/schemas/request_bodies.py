"""The JSON of a request, as its upload and its status return it."""

from typing import Annotated

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from resizer.models import FINAL, Batch, BatchStatus, Delivery, DeliveryStatus
from resizer.recipe import WHITE, Effort, Fit, OutputFormat, Recipe
from resizer.schemas.fields import Count, Links, Positive, RequestId, Time, Url, doc, iso, iso_or_null

Background = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(none|#[0-9a-f]{6})$"})]
Products = Annotated[Count, doc("Number of products: rows of the CSV that are not empty.")]
StatusUrl = Annotated[Url, doc("URL of the request's status.")]
ResultUrl = Annotated[Url, doc("URL of the result CSV.")]
CreatedAt = Annotated[Time, doc("When the request was accepted.")]
FINAL_STATUSES = ", ".join(f"`{each}`" for each in BatchStatus if each in FINAL)


class AcceptedBody(TypedDict):
    """An accepted request: it is on disk and survives a crash of the server."""

    request_id: RequestId
    status: Annotated[
        BatchStatus, doc("`pending`; for a repeated `Idempotency-Key` the current status of the request.")
    ]
    products: Products
    images: Annotated[Count, doc("Number of images: URLs of all products.")]
    status_url: StatusUrl
    result_url: ResultUrl
    created_at: CreatedAt


class ImageCounts(TypedDict):
    """Images by status; the last four add up to the first."""

    total: Annotated[Count, doc("All images of the request.")]
    pending: Annotated[Count, doc("Images with status `pending`.")]
    completed: Annotated[Count, doc("Images with status `completed`.")]
    failed: Annotated[Count, doc("Images with status `failed`.")]
    cancelled: Annotated[Count, doc("Images with status `cancelled`.")]


class ByteCounts(TypedDict):
    """Sizes of the completed images, in bytes."""

    input: Annotated[Count, doc("Of the sources, as fetched.")]
    output: Annotated[Count, doc("Of the compressed images.")]
    saved: Annotated[int, doc("`input` minus `output`.")]


class RecipeBody(TypedDict):
    """The compression options in force for the request."""

    quality: Annotated[int, Field(ge=1, le=100), doc("On Pillow's scale.")]
    format: Annotated[OutputFormat, doc("Output format; `keep`: the source's.")]
    effort: Annotated[Effort, doc("How long encoders search for fewer bytes.")]
    max_width: Annotated[Positive | None, doc("Pixels; null: no limit.")]
    max_height: Annotated[Positive | None, doc("Pixels; null: no limit.")]
    fit: Annotated[Fit, doc("How images are brought within the limits.")]
    background: Annotated[Background | None, doc("`none` or `#rrggbb`; null: white.")]


class WebhookBody(TypedDict):
    """Progress of the request's webhook; null without one."""

    url: Annotated[Url | None, doc("Destination; null in the list of requests if the server has no tokens.")]
    status: Annotated[DeliveryStatus, doc("Progress of the delivery.")]
    attempts: Annotated[Count, doc("Attempts so far.")]


class StatusBody(TypedDict):
    """The progress of a request."""

    request_id: RequestId
    status: Annotated[
        BatchStatus,
        doc(
            "`completed`: every image was compressed; `partial`: some failed; `failed`: all failed. "
            f"The final statuses are {FINAL_STATUSES}."
        ),
    ]
    done: Annotated[bool, doc("Whether the status is final.")]
    filename: Annotated[str, doc("Name of the uploaded CSV.")]
    products: Products
    images: ImageCounts
    bytes: ByteCounts
    recipe: RecipeBody
    created_at: CreatedAt
    started_at: Annotated[Time | None, doc("When its first image was started.")]
    finished_at: Annotated[Time | None, doc("When its status became final.")]
    expires_at: Annotated[
        Time | None, doc("When it and its files are deleted; null: never, or not known yet.")
    ]
    status_url: StatusUrl
    result_url: ResultUrl
    images_url: Annotated[Url, doc("URL of the list of its images.")]
    archive_url: Annotated[Url, doc("URL of a ZIP of its images.")]
    webhook: WebhookBody | None


def upload_body(batch: Batch, links: Links) -> AcceptedBody:
    return {
        "request_id": batch.request_id,
        "status": batch.status,
        "products": batch.products,
        "images": batch.images,
        "status_url": status_url(batch, links),
        "result_url": f"{links.origin}/result/{batch.request_id}",
        "created_at": iso(batch.created_at),
    }


def status_body(
    batch: Batch, links: Links, webhook: WebhookBody | None, expires_at: float | None
) -> StatusBody:
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
        "recipe": _recipe_body(batch.recipe),
        "created_at": iso(batch.created_at),
        "started_at": iso_or_null(batch.started_at),
        "finished_at": iso_or_null(batch.finished_at),
        "expires_at": iso_or_null(expires_at),
        "status_url": status_url(batch, links),
        "result_url": f"{links.origin}/result/{batch.request_id}",
        "images_url": f"{links.origin}/requests/{batch.request_id}/images",
        "archive_url": f"{links.origin}/requests/{batch.request_id}/archive",
        "webhook": webhook,
    }


def _recipe_body(recipe: Recipe) -> RecipeBody:
    return {
        "quality": recipe.quality,
        "format": recipe.format,
        "effort": recipe.effort,
        "max_width": recipe.max_width or None,
        "max_height": recipe.max_height or None,
        "fit": recipe.fit,
        "background": recipe.background if recipe.background != WHITE else None,
    }


def webhook_body(url: str, delivery: Delivery | None) -> WebhookBody:
    """Return the progress of the event for `url`; `delivery` is None before there is an event."""
    if delivery is None:
        return {"url": url, "status": DeliveryStatus.PENDING, "attempts": 0}
    return {"url": url, "status": delivery.status, "attempts": len(delivery.attempts)}


def status_url(batch: Batch, links: Links) -> str:
    return f"{links.origin}/status/{batch.request_id}"
