"""Errors of a client's request, which the web package answers with a status of 4xx or 507."""

from dataclasses import dataclass

from resizer.errors.base import ResizerError


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A fault in a CSV and its location; both numbers count from 1."""

    line: int
    column: int
    message: str


@dataclass(eq=False)
class CatalogError(ResizerError):
    """The CSV is refused."""

    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        first = self.problems[0]
        more = len(self.problems) - 1
        others = f" (and {more} more)" if more else ""
        return f"line {first.line}, column {first.column}: {first.message}{others}"


class UploadError(ResizerError):
    """The upload contains no CSV; constructed with the reason."""


@dataclass(eq=False)
class UnsupportedBody(UploadError):
    """The content type of the upload is not supported."""

    content_type: str

    def __str__(self) -> str:
        return (
            f"a body of type {self.content_type or '(none)'} is not supported; send multipart/form-data "
            "with the CSV in the field 'file', or the CSV itself as text/csv"
        )


@dataclass(eq=False)
class UnsupportedEncoding(UploadError):
    """The Content-Encoding of the upload is not supported."""

    encoding: str

    def __str__(self) -> str:
        return (
            f"a body with the encoding {self.encoding[:64]!r} is not supported; "
            "send it without one, or as gzip or deflate"
        )


@dataclass(eq=False)
class BodyTooSlow(UploadError):
    """The body arrived below the minimum rate for too long."""

    seconds: float

    def __str__(self) -> str:
        return (
            f"the body arrived too slowly for {self.seconds:g} s; "
            "send it over a faster connection, or raise server.request_timeout"
        )


@dataclass(eq=False)
class UploadTooLarge(UploadError):
    """The upload is larger than server.max_upload_size."""

    limit: int  # bytes

    def __str__(self) -> str:
        return f"the CSV is larger than {self.limit} bytes; split it, or raise server.max_upload_size"


@dataclass(eq=False)
class OptionError(ResizerError):
    """An option of the request has an invalid value."""

    option: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.option} = {self.value!r} is invalid; {self.expected}"


@dataclass(eq=False)
class BatchNotFound(ResizerError):
    """No request has this id."""

    request_id: str

    def __str__(self) -> str:
        return f"there is no request {self.request_id[:64]!r}"


class OriginalUnavailable(ResizerError):
    """The source image cannot be shown; constructed with the reason."""


@dataclass(eq=False)
class NotFinished(ResizerError):
    """The request has pending images."""

    request_id: str
    pending: int

    def __str__(self) -> str:
        return (
            f"request {self.request_id} has {self.pending} pending images; "
            "ask again later, or add ?partial=1 for the finished ones"
        )


@dataclass(eq=False)
class NothingToRetry(ResizerError):
    """The request has no failed or cancelled image."""

    request_id: str

    def __str__(self) -> str:
        return f"request {self.request_id} has no failed or cancelled images; there is nothing to retry"


@dataclass(eq=False)
class AlreadyFinal(ResizerError):
    """The request has ended and cannot be cancelled."""

    request_id: str
    status: str

    def __str__(self) -> str:
        return f"request {self.request_id} has already ended ({self.status}); there is nothing to cancel"


@dataclass(eq=False)
class HostNotAllowed(ResizerError):
    """The Host header names a host that is not allowed."""

    host: str

    def __str__(self) -> str:
        return (
            f"{self.host[:255]} is not a host of this server; if it should be, "
            "add it to server.allowed_hosts, or set server.public_url"
        )


class CrossOrigin(ResizerError):
    """A page of another origin requests a change."""

    def __str__(self) -> str:
        return (
            "a page of another origin sent this request; to allow it, add its origin (scheme://host) to "
            "server.cors_origins"
        )


@dataclass(eq=False)
class NothingToSend(ResizerError):
    """The request has no webhook event."""

    request_id: str
    done: bool

    def __str__(self) -> str:
        if self.done:
            return f"request {self.request_id} has no webhook; upload with a webhook_url"
        return f"request {self.request_id} has not ended; there is no event to send yet"


class IdempotencyConflict(ResizerError):
    """The Idempotency-Key was used with other content."""

    def __str__(self) -> str:
        return "this Idempotency-Key was used for another upload in the last 24 hours; use a new key"


@dataclass(eq=False)
class QueueFull(ResizerError):
    """The upload would exceed queue.max_pending_images."""

    pending: int
    limit: int

    def __str__(self) -> str:
        return (
            f"{self.pending} images would be pending, and queue.max_pending_images is {self.limit}; "
            "try again later, or raise it if this upload alone has more"
        )
