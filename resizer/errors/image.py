"""What can go wrong with one image: an error for each code of the contract."""

from enum import StrEnum
from typing import ClassVar

from resizer.errors.service import ResizerError


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
    #: whether the fault may pass, so that another try is worth it
    passing: bool = False
    #: status that the origin answered, where it answered one
    http_status: int | None = None
    #: seconds that the origin asked to wait before another try
    retry_after: float | None = None
    #: tries made; set by whoever gives up
    attempts: int = 0


class InvalidUrl(ImageError):
    """The text is no URL that can be fetched."""

    code = ErrorCode.INVALID_URL

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"not a URL that can be fetched: {self.reason}"


class BlockedAddress(ImageError):
    """The host's address is not public and not allowed by the configuration."""

    code = ErrorCode.BLOCKED_ADDRESS

    def __init__(self, host: str, setting: str) -> None:
        super().__init__(host, setting)
        self.host = host
        self.setting = setting

    def __str__(self) -> str:
        return (
            f"the address of {self.host} is not public, so it is not connected to; "
            f"if it should be, add its network to {self.setting}"
        )


class DnsFailure(ImageError):
    """The host's name could not be resolved."""

    code = ErrorCode.DNS

    def __init__(self, host: str, *, passing: bool = False) -> None:
        super().__init__(host)
        self.host = host
        self.passing = passing

    def __str__(self) -> str:
        return f"the host name {self.host} could not be resolved; check its spelling"


class ConnectFailure(ImageError):
    """The connection could not be made, or broke before the body was whole."""

    code = ErrorCode.CONNECT
    passing = True

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection to {self.host} failed: {self.reason}"


class TlsFailure(ImageError):
    """No trusted TLS connection could be made."""

    code = ErrorCode.TLS

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"no trusted TLS connection to {self.host}: {self.reason}"


class FetchTimeout(ImageError):
    """One try took longer than it may; seconds."""

    code = ErrorCode.TIMEOUT
    passing = True

    def __init__(self, host: str, seconds: float, setting: str) -> None:
        super().__init__(host, seconds, setting)
        self.host = host
        self.seconds = seconds
        self.setting = setting

    def __str__(self) -> str:
        return f"{self.host} took longer than {self.seconds:g} s; {self.setting} sets the limit"


class HttpStatusError(ImageError):
    """The origin answered with a status that is no success."""

    code = ErrorCode.HTTP_STATUS
    #: worth another try besides all of 5xx (contract, section 6)
    PASSING: ClassVar[frozenset[int]] = frozenset({408, 425, 429})

    def __init__(self, host: str, http_status: int, retry_after: float | None = None) -> None:
        super().__init__(host, http_status, retry_after)
        self.host = host
        self.http_status = http_status
        self.retry_after = retry_after
        self.passing = http_status in self.PASSING or 500 <= http_status <= 599  # noqa: PLR2004

    def __str__(self) -> str:
        asked = f" and asks to come back in {self.retry_after:.0f} s" if self.retry_after else ""
        return f"{self.host} answered with status {self.http_status}{asked}"


class TooManyRedirects(ImageError):
    """More redirects than fetch.max_redirects."""

    code = ErrorCode.TOO_MANY_REDIRECTS

    def __init__(self, host: str, limit: int) -> None:
        super().__init__(host, limit)
        self.host = host
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.host} redirected more than {self.limit} times; fetch.max_redirects sets the limit"


class TooLarge(ImageError):
    """The source is larger than fetch.max_size, in bytes."""

    code = ErrorCode.TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the file is larger than {self.limit} bytes; fetch.max_size sets the limit"


class NotAnImage(ImageError):
    """What arrived is no image."""

    code = ErrorCode.NOT_AN_IMAGE

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found

    def __str__(self) -> str:
        return f"what the URL gives is no image but {self.found}; check that it leads to the image itself"


class UnsupportedFormat(ImageError):
    """An image of a format, or of a kind of it, that is not read."""

    code = ErrorCode.UNSUPPORTED_FORMAT

    def __init__(self, found: str, advice: str = "use JPEG, PNG, WebP, GIF, AVIF, BMP or TIFF") -> None:
        super().__init__(found, advice)
        self.found = found
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.found} is not supported; {self.advice}"


class CorruptImage(ImageError):
    """The image is damaged."""

    code = ErrorCode.CORRUPT_IMAGE

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the image is damaged: {self.reason}"


class TooManyPixels(ImageError):
    """The image, all its frames counted, has more pixels than compress.max_pixels."""

    code = ErrorCode.TOO_MANY_PIXELS

    def __init__(self, width: int, height: int, frames: int, limit: int) -> None:
        super().__init__(width, height, frames, limit)
        self.width = width
        self.height = height
        self.frames = frames
        self.limit = limit

    def __str__(self) -> str:
        frames = f" × {self.frames} frames" if self.frames > 1 else ""
        return (
            f"{self.width} × {self.height} pixels{frames} are more than {self.limit}; "
            "compress.max_pixels sets the limit"
        )


class CompressTimeout(ImageError):
    """Compressing took longer than compress.timeout, in seconds."""

    code = ErrorCode.COMPRESS_TIMEOUT

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"compressing took longer than {self.seconds:g} s; compress.timeout sets the limit"


class CompressCrash(ImageError):
    """The image ended the process that compressed it, twice."""

    code = ErrorCode.COMPRESS_CRASH

    def __str__(self) -> str:
        return "the image ended the process that compressed it, twice; it is damaged or needs too much memory"


class OutOfResources(ImageError):
    """The machine has no more descriptors, threads or memory for it now."""

    code = ErrorCode.STORAGE

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the service is at a limit of its machine: {self.reason}"


class StorageFailure(ImageError):
    """The download or the compressed image could not be kept."""

    code = ErrorCode.STORAGE

    def __init__(self, reason: str, what: str = "compressed image") -> None:
        super().__init__(reason, what)
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return f"the {self.what} could not be stored or read: {self.reason}"
