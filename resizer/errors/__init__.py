"""Every error of the service.

ResizerError
├── ConfigError            keys of the configuration are wrong
├── DataFolderInUse        another process locks the data folder
├── DatabaseUnusable       the database cannot be opened, or has a newer schema
├── DatabaseFailure        a statement failed: locked, read-only or damaged file
├── NoSpace, SpoolFailure  the disk is full; uploads cannot be stored
├── PoolDown               no process can compress
│   ├── NoWorkers          no worker has responded
│   └── BrokerDown         the broker does not respond
├── TaskFailed             a worker failed because of an internal error
├── SignatureError         a webhook has no valid signature
├── ServerUnreachable      the server that the client calls does not respond
├── ServerRefused          the server that the client calls refused the request
├── CatalogError           a CSV is refused; lists its problems
├── UploadError            an upload contains no CSV
│   └── UnsupportedBody, UnsupportedEncoding, BodyTooSlow, UploadTooLarge
├── OptionError, IdempotencyConflict, QueueFull                           (uploading)
├── HostNotAllowed, CrossOrigin                                           (any request)
├── BatchNotFound, OriginalUnavailable, NotFinished, AlreadyFinal, NothingToSend, NothingToRetry
└── ImageError             one image failed; docs/formats.md explains every code
    ├── InvalidUrl, BlockedAddress, DnsFailure, ConnectFailure, TlsFailure, FetchTimeout,
    │   HttpStatusError, TooManyRedirects, TooLarge                         (fetching)
    ├── NotAnImage, UnsupportedFormat, CorruptImage, TooManyPixels,
    │   CompressTimeout, CompressCrash                                      (compressing)
    ├── StorageFailure                                                      (storing)
    └── OutOfResources                                                      (anywhere)
"""

from resizer.errors.base import ResizerError
from resizer.errors.disk import OUT_OF_SPACE, disk_fault, shortage
from resizer.errors.image import (
    BlockedAddress,
    CompressCrash,
    CompressTimeout,
    ConnectFailure,
    CorruptImage,
    DnsFailure,
    ErrorCode,
    FetchTimeout,
    HttpStatusError,
    ImageError,
    InvalidUrl,
    NotAnImage,
    OutOfResources,
    StorageFailure,
    TlsFailure,
    TooLarge,
    TooManyPixels,
    TooManyRedirects,
    UnsupportedFormat,
)
from resizer.errors.requests import (
    AlreadyFinal,
    BatchNotFound,
    BodyTooSlow,
    CatalogError,
    CrossOrigin,
    HostNotAllowed,
    IdempotencyConflict,
    NotFinished,
    NothingToRetry,
    NothingToSend,
    OptionError,
    OriginalUnavailable,
    Problem,
    QueueFull,
    UnsupportedBody,
    UnsupportedEncoding,
    UploadError,
    UploadTooLarge,
)
from resizer.errors.service import (
    BrokerDown,
    ConfigError,
    DatabaseFailure,
    DatabaseUnusable,
    DataFolderInUse,
    NoSpace,
    NoWorkers,
    PoolDown,
    ServerRefused,
    ServerUnreachable,
    SignatureError,
    SpoolFailure,
    TaskFailed,
    WrongKey,
)

__all__ = [
    "OUT_OF_SPACE",
    "AlreadyFinal",
    "BatchNotFound",
    "BlockedAddress",
    "BodyTooSlow",
    "BrokerDown",
    "CatalogError",
    "CompressCrash",
    "CompressTimeout",
    "ConfigError",
    "ConnectFailure",
    "CorruptImage",
    "CrossOrigin",
    "DataFolderInUse",
    "DatabaseFailure",
    "DatabaseUnusable",
    "DnsFailure",
    "ErrorCode",
    "FetchTimeout",
    "HostNotAllowed",
    "HttpStatusError",
    "IdempotencyConflict",
    "ImageError",
    "InvalidUrl",
    "NoSpace",
    "NoWorkers",
    "NotAnImage",
    "NotFinished",
    "NothingToRetry",
    "NothingToSend",
    "OptionError",
    "OriginalUnavailable",
    "OutOfResources",
    "PoolDown",
    "Problem",
    "QueueFull",
    "ResizerError",
    "ServerRefused",
    "ServerUnreachable",
    "SignatureError",
    "SpoolFailure",
    "StorageFailure",
    "TaskFailed",
    "TlsFailure",
    "TooLarge",
    "TooManyPixels",
    "TooManyRedirects",
    "UnsupportedBody",
    "UnsupportedEncoding",
    "UnsupportedFormat",
    "UploadError",
    "UploadTooLarge",
    "WrongKey",
    "disk_fault",
    "shortage",
]
