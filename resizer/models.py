"""Statuses, and the frozen records that rooms pass to each other."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from resizer.errors import ErrorCode, ImageError
from resizer.recipe import Effort, Fit, OutputFormat, Recipe

__all__ = [
    "FINAL",
    "Attempt",
    "Batch",
    "BatchStatus",
    "CachedResult",
    "Compressed",
    "Delivery",
    "DeliveryStatus",
    "Effort",
    "Fault",
    "Fit",
    "Image",
    "ImageStatus",
    "OriginInfo",
    "Outcome",
    "OutputFormat",
    "Product",
    "Recipe",
    "Task",
]


class BatchStatus(StrEnum):
    """The progress of a batch."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: statuses that only a retry changes
FINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.PARTIAL, BatchStatus.FAILED, BatchStatus.CANCELLED})


class ImageStatus(StrEnum):
    """The progress of an image."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryStatus(StrEnum):
    """The progress of a webhook delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why an image failed, as it is stored and sent."""

    code: ErrorCode
    message: str
    http_status: int | None = None

    @classmethod
    def of(cls, error: ImageError) -> Self:
        return cls(code=error.code, message=str(error), http_status=error.http_status)


class Product(NamedTuple):
    """One data row of a CSV; a tuple, which takes a fifth of the time to make, a million times."""

    #: line of the file on which the row begins, from 1
    line: int
    serial: str
    name: str
    #: unchanged; a short row has fewer than the catalogue has columns
    cells: tuple[str, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressed:
    """A compressed image in the storage."""

    #: 32 hexadecimal digits made of the source's bytes and the recipe, and an extension
    filename: str
    #: jpeg, png, webp, gif, avif, or bmp and tiff where a source is kept
    format: str
    #: pixels, as a viewer shows it
    width: int
    height: int
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginInfo:
    """What the origin last reported for this URL."""

    #: 32 hexadecimal digits, of the image's bytes without their content encoding
    digest: str
    #: validators for a conditional request
    etag: str | None = None
    last_modified: str | None = None
    #: URL that redirects led to; None where there were none
    location: str | None = None
    #: seconds since the epoch
    asked_at: float

    @property
    def can_be_asked(self) -> bool:
        """Whether a conditional request is possible."""
        return bool(self.etag or self.last_modified)


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedResult:
    """The source of a URL as it was last fetched, and the file made of it."""

    source: OriginInfo
    compressed: Compressed
    #: reported to the same batch, or to a concurrent one: the origin need not be asked again
    fresh: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Everything needed to process one image, on this machine or on another."""

    batch_id: int
    #: number of the image in its batch, from 0
    seq: int
    url: str
    recipe: Recipe
    known: CachedResult | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one image: `compressed` or `fault`, never both."""

    batch_id: int
    seq: int
    #: attempts to fetch it
    attempts: int
    compressed: Compressed | None = None
    source: OriginInfo | None = None
    fault: Fault | None = None

    @property
    def status(self) -> ImageStatus:
        return ImageStatus.FAILED if self.compressed is None else ImageStatus.COMPLETED


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One uploaded CSV and all work that it asks for; users call it a request."""

    id: int
    request_id: str
    status: BatchStatus
    #: name of the CSV as the client gave it
    filename: str
    recipe: Recipe
    webhook_url: str | None
    #: URL of the service, for links made outside of an HTTP request
    origin: str
    #: URL of the compressed images, up to the slash before their names
    files_url: str
    products: int
    images: int
    pending: int
    completed: int
    failed: int
    cancelled: int
    #: of completed images
    input_bytes: int
    output_bytes: int
    #: seconds since the epoch
    created_at: float
    started_at: float | None
    finished_at: float | None

    #: whether its pending images are being cancelled
    cancelling: bool = False

    @property
    def done(self) -> bool:
        return self.status in FINAL

    def expires_at(self, seconds: float) -> float | None:
        """Return when the batch is deleted, `seconds` after its end; None where it is kept or unfinished."""
        return self.finished_at + seconds if seconds and self.finished_at is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One URL of one product, and its result."""

    seq: int
    line: int
    serial: str
    product_name: str
    #: number of the URL in its cell, from 1
    position: int
    url: str
    status: ImageStatus
    attempts: int
    compressed: Compressed | None
    fault: Fault | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt to deliver a webhook."""

    #: seconds since the epoch
    at: float
    http_status: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One webhook event on its way to one URL."""

    id: int
    batch_id: int
    #: the same for every attempt
    webhook_id: str
    url: str
    #: host and port of the URL: receivers are limited by it
    host: str
    #: JSON text that is signed and sent
    body: str
    status: DeliveryStatus
    attempts: tuple[Attempt, ...]
    #: seconds since the epoch; None where the status is final
    next_attempt_at: float | None
    #: attempts before the event was sent again, which the schedule does not count
    earlier_tries: int = 0
    #: of the batch
    request_id: str = ""
