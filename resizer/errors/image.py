"""Errors of one image: a class for each code that clients see."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from resizer.errors.base import ResizerError


class ErrorCode(StrEnum):
    """Why an image failed."""

    INVALID_URL = "invalid_url"
    BLOCKED_ADDRESS = "blocked_address"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    HTTP_STATUS = "http_status"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    TOO_LARGE = "too_large"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_IMAGE = "corrupt_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    COMPRESS_TIMEOUT = "compress_timeout"
    COMPRESS_CRASH = "compress_crash"
    STORAGE = "storage"
    INTERNAL = "internal"


class ImageError(ResizerError):
    """One image failed."""

    code: ClassVar[ErrorCode]
    #: whether the fault is temporary, so that a retry may succeed
    passing: bool = False
    #: status of the origin's response, if it sent one
    http_status: int | None = None
    #: seconds to wait before a retry, if the origin named them
    retry_after: float | None = None
    #: attempts made, set when the fetcher gives up
    attempts: int = 0


@dataclass(eq=False)
class InvalidUrl(ImageError):
    """The text is not a URL that can be fetched."""

    code = ErrorCode.INVALID_URL
    reason: str

    def __str__(self) -> str:
        return f"not a valid URL: {self.reason}"


@dataclass(eq=False)
class BlockedAddress(ImageError):
    """The address of the host is neither public nor allowed by the configuration."""

    code = ErrorCode.BLOCKED_ADDRESS
    host: str
    setting: str

    def __str__(self) -> str:
        return (
            f"the address of {self.host} is not public, so it was not contacted; "
            f"to allow it, add its network to {self.setting}"
        )


class DnsFailure(ImageError):
    """The host name cannot be resolved."""

    code = ErrorCode.DNS

    def __init__(self, host: str, *, passing: bool = False) -> None:
        super().__init__(host)
        self.host = host
        self.passing = passing

    def __str__(self) -> str:
        return f"cannot resolve the host name {self.host}; check its spelling"


@dataclass(eq=False)
class ConnectFailure(ImageError):
    """The connection failed, or broke before the body was complete."""

    code = ErrorCode.CONNECT
    passing = True
    host: str
    reason: str

    def __str__(self) -> str:
        return f"the connection to {self.host} failed: {self.reason}"


@dataclass(eq=False)
class TlsFailure(ImageError):
    """No trusted TLS connection could be established."""

    code = ErrorCode.TLS
    host: str
    reason: str

    def __str__(self) -> str:
        return f"no trusted TLS connection to {self.host}: {self.reason}"


@dataclass(eq=False)
class FetchTimeout(ImageError):
    """One attempt exceeded its time limit."""

    code = ErrorCode.TIMEOUT
    passing = True
    host: str
    seconds: float
    setting: str

    def __str__(self) -> str:
        return f"{self.host} took longer than {self.seconds:g} s; {self.setting} sets the limit"


class HttpStatusError(ImageError):
    """The origin answered with a status other than success."""

    code = ErrorCode.HTTP_STATUS
    #: temporary, as every status of 5xx
    PASSING: ClassVar[frozenset[int]] = frozenset({408, 425, 429})

    def __init__(self, host: str, http_status: int, retry_after: float | None = None) -> None:
        super().__init__(host, http_status, retry_after)
        self.host = host
        self.http_status = http_status
        self.retry_after = retry_after
        self.passing = http_status in self.PASSING or 500 <= http_status <= 599  # noqa: PLR2004

    def __str__(self) -> str:
        asked = f" and asks for a retry in {self.retry_after:.0f} s" if self.retry_after else ""
        return f"{self.host} answered with status {self.http_status}{asked}"


@dataclass(eq=False)
class TooManyRedirects(ImageError):
    """The origin redirected more often than fetch.max_redirects."""

    code = ErrorCode.TOO_MANY_REDIRECTS
    host: str
    limit: int

    def __str__(self) -> str:
        return f"{self.host} redirected more than {self.limit} times; fetch.max_redirects sets the limit"


@dataclass(eq=False)
class TooLarge(ImageError):
    """The source is larger than fetch.max_size."""

    code = ErrorCode.TOO_LARGE
    limit: int  # bytes

    def __str__(self) -> str:
        return f"the file is larger than {self.limit} bytes; fetch.max_size sets the limit"


@dataclass(eq=False)
class NotAnImage(ImageError):
    """The URL returned something other than an image."""

    code = ErrorCode.NOT_AN_IMAGE
    found: str

    def __str__(self) -> str:
        return f"the URL returned {self.found}, not an image; check that it leads to the image itself"


@dataclass(eq=False)
class UnsupportedFormat(ImageError):
    """The image's format, or the variant of it, is not supported."""

    code = ErrorCode.UNSUPPORTED_FORMAT
    found: str
    advice: str = "use JPEG, PNG, WebP, GIF, AVIF, BMP or TIFF"

    def __str__(self) -> str:
        return f"{self.found} is not supported; {self.advice}"


@dataclass(eq=False)
class CorruptImage(ImageError):
    """The image is damaged."""

    code = ErrorCode.CORRUPT_IMAGE
    reason: str

    def __str__(self) -> str:
        return f"the image is damaged: {self.reason}"


@dataclass(eq=False)
class TooManyPixels(ImageError):
    """The image, counting all frames, has more pixels than compress.max_pixels."""

    code = ErrorCode.TOO_MANY_PIXELS
    width: int
    height: int
    frames: int
    limit: int

    def __str__(self) -> str:
        frames = f" × {self.frames} frames" if self.frames > 1 else ""
        return (
            f"{self.width} × {self.height} pixels{frames} are more than {self.limit}; "
            "compress.max_pixels sets the limit"
        )


@dataclass(eq=False)
class CompressTimeout(ImageError):
    """Compression exceeded compress.timeout."""

    code = ErrorCode.COMPRESS_TIMEOUT
    seconds: float

    def __str__(self) -> str:
        return f"compression took longer than {self.seconds:g} s; compress.timeout sets the limit"


class CompressCrash(ImageError):
    """The image crashed its compressing process twice."""

    code = ErrorCode.COMPRESS_CRASH

    def __str__(self) -> str:
        return (
            "the image crashed the process that compressed it, twice; it is damaged or needs too much memory"
        )


@dataclass(eq=False)
class OutOfResources(ImageError):
    """The machine has no descriptors, threads or memory left."""

    code = ErrorCode.STORAGE
    reason: str

    def __str__(self) -> str:
        return f"the service has reached a limit of its machine: {self.reason}"


@dataclass(eq=False)
class StorageFailure(ImageError):
    """The download or the compressed image could not be stored or read."""

    code = ErrorCode.STORAGE
    reason: str
    what: str = "compressed image"

    def __str__(self) -> str:
        return f"cannot store or read the {self.what}: {self.reason}"
