"""What can go wrong with the service and with a request as a whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from resizer.errors.disk import disk_fault


class ResizerError(Exception):
    """Base of all errors of the service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrongKey:
    """One key of the configuration that is unknown or has a wrong value."""

    #: full name, such as fetch.timeout
    key: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.remedy}"


class ConfigError(ResizerError):
    """The configuration cannot be used; lists the wrong keys."""

    def __init__(self, *wrong: WrongKey) -> None:
        super().__init__(*wrong)
        self.wrong = wrong

    @classmethod
    def of(cls, key: str, problem: str, remedy: str) -> Self:
        return cls(WrongKey(key=key, problem=problem, remedy=remedy))

    @classmethod
    def unusable_folder(cls, key: str, folder: Path, error: OSError) -> Self:
        return cls.of(
            key,
            f"the folder {folder} cannot be used: {disk_fault(error, folder)}",
            "name a folder that can be created and written to",
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.wrong))


class DataFolderInUse(ResizerError):
    """Another process holds the lock of the data folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"{self.folder} is in use by another resizer; "
            "stop that one, or give this one a folder of its own with --data-dir"
        )


class DatabaseUnusable(ResizerError):
    """The database file cannot be used as it is."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the database {self.path} cannot be used: {self.reason}"


class DatabaseFailure(ResizerError):
    """A statement failed for a reason that lies with the file or its disk."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the database does not answer: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with a CSV and where it stands; both numbers count from 1."""

    line: int
    column: int
    message: str


class CatalogError(ResizerError):
    """A CSV is refused as a whole."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        first = self.problems[0]
        more = len(self.problems) - 1
        others = f" (and {more} more)" if more else ""
        return f"line {first.line}, column {first.column}: {first.message}{others}"


class UploadError(ResizerError):
    """An upload that is no CSV upload."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class UnsupportedBody(UploadError):
    """An upload with a body type that is not one of ours."""

    def __init__(self, content_type: str) -> None:
        ResizerError.__init__(self, content_type)
        self.content_type = content_type

    def __str__(self) -> str:
        return (
            f"a body of type {self.content_type or '(none)'} cannot be read; send multipart/form-data "
            "with the CSV in the field 'file', or the CSV itself as text/csv"
        )


class UnsupportedEncoding(UploadError):
    """An upload with a Content-Encoding that cannot be undone."""

    def __init__(self, encoding: str) -> None:
        ResizerError.__init__(self, encoding)
        self.encoding = encoding

    def __str__(self) -> str:
        return (
            f"a body encoded as {self.encoding[:64]!r} cannot be read; send it plain, or as gzip or deflate"
        )


class BodyTooSlow(UploadError):
    """A body that came at no living pace for so many seconds."""

    def __init__(self, seconds: float) -> None:
        ResizerError.__init__(self, seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"the body came too slowly for {self.seconds:g} s; "
            "send it again over a faster line, or raise server.request_timeout"
        )


class UploadTooLarge(UploadError):
    """An upload larger than the limit, in bytes."""

    def __init__(self, limit: int) -> None:
        ResizerError.__init__(self, limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the CSV is larger than {self.limit} bytes; split it, or raise server.max_upload_size"


class OptionError(ResizerError):
    """An option of a request has a value that cannot be."""

    def __init__(self, option: str, value: str, expected: str) -> None:
        super().__init__(option, value, expected)
        self.option = option
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.option} = {self.value!r} is not possible; {self.expected}"


class BatchNotFound(ResizerError):
    """There is no request of that id."""

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self.request_id = request_id

    def __str__(self) -> str:
        return f"there is no request {self.request_id[:64]!r}"


class OriginalUnavailable(ResizerError):
    """The image cannot be fetched again, or what its URL gives now is none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotFinished(ResizerError):
    """The request has no final status yet."""

    def __init__(self, request_id: str, pending: int) -> None:
        super().__init__(request_id, pending)
        self.request_id = request_id
        self.pending = pending

    def __str__(self) -> str:
        return (
            f"request {self.request_id} still has {self.pending} images to do; "
            "ask again later, or add ?partial=1 to take what is done"
        )


class NothingToRetry(ResizerError):
    """No image of the request has failed or was cancelled."""

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self.request_id = request_id

    def __str__(self) -> str:
        return f"no image of request {self.request_id} has failed or was cancelled, so none is tried again"


class AlreadyFinal(ResizerError):
    """A request that has ended cannot be cancelled."""

    def __init__(self, request_id: str, status: str) -> None:
        super().__init__(request_id, status)
        self.request_id = request_id
        self.status = status

    def __str__(self) -> str:
        return f"the request {self.request_id} has ended already ({self.status}); there is nothing to cancel"


class HostNotAllowed(ResizerError):
    """The request asks for a host that this server does not answer for."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"this server does not answer for {self.host[:255]}; if that is one of its names, "
            "add it to server.allowed_hosts, or set server.public_url"
        )


class CrossOrigin(ResizerError):
    """A page of another origin asks for a change."""

    def __str__(self) -> str:
        return (
            "a page of another origin sent this request; if it may, add its origin (scheme://host) to "
            "server.cors_origins"
        )


class NothingToSend(ResizerError):
    """A request has no webhook event that could be sent."""

    def __init__(self, request_id: str, *, done: bool) -> None:
        super().__init__(request_id)
        self.request_id = request_id
        self.done = done

    def __str__(self) -> str:
        if self.done:
            return f"the request {self.request_id} has no webhook; give a webhook_url with the upload"
        return f"the request {self.request_id} has not ended, so there is no event to send yet"


class PoolDown(ResizerError):
    """No process is there that could compress an image."""

    def __str__(self) -> str:
        return "no compressing process is alive; the log says why, and they are started again all the time"


class NoWorkers(PoolDown):
    """No worker has given a sign of life."""

    def __str__(self) -> str:
        return "no worker is there; start `resizer worker` on this machine or another, with the same broker"


class BrokerDown(PoolDown):
    """The broker does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the broker does not answer: {self.reason}; start it, or mend engine.broker_url"


class TaskFailed(ResizerError):
    """A worker met a fault of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a worker met a fault: {self.reason}; its log has the details"


class IdempotencyConflict(ResizerError):
    """An Idempotency-Key came again with other content."""

    def __str__(self) -> str:
        return "this Idempotency-Key was used for another upload in the last 24 hours; use a new key"


class QueueFull(ResizerError):
    """Too many images wait already."""

    def __init__(self, pending: int, limit: int) -> None:
        super().__init__(pending, limit)
        self.pending = pending
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.pending} images would wait and queue.max_pending_images is {self.limit}; "
            "try again later, or raise it if this upload alone has more"
        )


class NoSpace(ResizerError):
    """The disk cannot take what was to be written."""

    def __str__(self) -> str:
        return "there is no space left on the disk of the data folder, or no room for another file; free some"


class SpoolFailure(ResizerError):
    """An upload cannot be written to the spool."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"uploads cannot be written down: {self.reason}"


class SignatureError(ResizerError):
    """A webhook does not carry a signature made with the secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the webhook is refused: {self.reason}"


class ServerUnreachable(ResizerError):
    """A server does not answer, or cannot do its work."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(server, reason)
        self.server = server
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.server}: {self.reason}"


class ServerRefused(ResizerError):
    """A server does not take what it is sent; lists the problems of a CSV."""

    def __init__(self, status: int, detail: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(status, detail, problems)
        self.status = status
        self.detail = detail
        self.problems = problems

    def __str__(self) -> str:
        return self.detail
