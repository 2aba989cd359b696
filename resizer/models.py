"""Statuses, and the frozen records that cross the walls between rooms."""

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
    """Where a batch stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: a batch in one of these changes no more by itself
FINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.PARTIAL, BatchStatus.FAILED, BatchStatus.CANCELLED})


class ImageStatus(StrEnum):
    """Where an image stands."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryStatus(StrEnum):
    """Where a webhook delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why an image failed, in a form that can be stored and sent."""

    code: ErrorCode
    message: str
    http_status: int | None = None

    @classmethod
    def of(cls, error: ImageError) -> Self:
        return cls(code=error.code, message=str(error), http_status=error.http_status)


class Product(NamedTuple):
    """One data row of a CSV: a tuple, made in a fifth of the time, as a CSV has a million of them."""

    #: line of the file on which the row begins, from 1
    line: int
    serial: str
    name: str
    #: the row's cells as they came; a short row has fewer than the catalogue has columns
    cells: tuple[str, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressed:
    """A compressed image, as the codec leaves it."""

    #: name in the storage: 32 hexadecimal digits made of the source's bytes and the recipe, and an extension
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
    """What was learnt of a URL when its origin was last asked."""

    #: of the image's bytes, decompressed: 32 hexadecimal digits
    digest: str
    #: what the origin gave to be asked with whether the image has changed
    etag: str | None = None
    last_modified: str | None = None
    #: URL that gave the bytes in the end; None where that is the image's own
    location: str | None = None
    #: seconds since the epoch
    asked_at: float

    @property
    def can_be_asked(self) -> bool:
        """Whether there is anything by which the origin could tell that nothing has changed."""
        return bool(self.etag or self.last_modified)


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedResult:
    """What is already there of a task: its source as of the last time, and the file made of it."""

    source: OriginInfo
    compressed: Compressed
    #: learnt by the same batch, or by one beside it: the origin need not be asked again
    fresh: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """All that is needed to process one image, on this machine or on another."""

    batch_id: int
    #: place of the image among all of its batch, from 0
    seq: int
    url: str
    recipe: Recipe
    known: CachedResult | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one image: `compressed` or `fault`, never both."""

    batch_id: int
    seq: int
    #: tries to fetch it
    attempts: int
    compressed: Compressed | None = None
    #: what it was made of
    source: OriginInfo | None = None
    fault: Fault | None = None

    @property
    def status(self) -> ImageStatus:
        return ImageStatus.FAILED if self.compressed is None else ImageStatus.COMPLETED


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One uploaded CSV and all work that it asks for: the contract's request."""

    id: int
    request_id: str
    status: BatchStatus
    #: name of the CSV as the client gave it
    filename: str
    recipe: Recipe
    webhook_url: str | None
    #: what stands before `/status/…` in URLs told to the client when no HTTP request is at hand
    origin: str
    #: what stands before `/NAME` in the addresses of compressed images, likewise
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

    #: its pending images are being cancelled
    cancelling: bool = False

    @property
    def done(self) -> bool:
        return self.status in FINAL

    def expires_at(self, seconds: float) -> float | None:
        """Return when it goes where finished batches are kept for so long; None: not, or not known yet."""
        return self.finished_at + seconds if seconds and self.finished_at is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One URL of one product, and what became of it."""

    seq: int
    line: int
    serial: str
    product_name: str
    #: place of the URL in its cell, from 1
    position: int
    url: str
    status: ImageStatus
    attempts: int
    compressed: Compressed | None
    fault: Fault | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try to deliver a webhook."""

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
    #: the same on every try
    webhook_id: str
    url: str
    #: what tells receivers apart
    host: str
    #: JSON text that is signed and sent
    body: str
    status: DeliveryStatus
    attempts: tuple[Attempt, ...]
    #: seconds since the epoch; None once it is final
    next_attempt_at: float | None
    #: tries before it was asked for once more, which the schedule does not count
    earlier_tries: int = 0
    #: of the batch
    request_id: str = ""
