"""Every error of the service: each class carries the contract's code, each instance its facts.

ResizerError
├── ConfigError            keys of the configuration are wrong
├── DataFolderInUse        another process owns the data folder
├── DatabaseUnusable       the database cannot be opened or is of a newer version
├── DatabaseFailure        a statement failed: locked for long, read-only, damaged
├── CatalogError           a CSV is refused; lists its problems
├── UploadError            an upload is no CSV upload
│   ├── UnsupportedBody    its body type is not one of ours
│   ├── UnsupportedEncoding  its Content-Encoding is not one of ours
│   ├── BodyTooSlow        it came at no living pace
│   └── UploadTooLarge     it is larger than server.max_upload_size
├── HostNotAllowed         a request asks for a host that is none of the server's
├── CrossOrigin            a page of another origin asks for a change
├── OptionError            an option of a request is wrong
├── BatchNotFound          there is no such request
├── OriginalUnavailable    an image cannot be fetched again to be shown
├── NotFinished            the request has no final status yet
├── AlreadyFinal           a request that has ended cannot be cancelled
├── NothingToSend          a request has no webhook event
├── NothingToRetry         none of its images has failed or was cancelled
├── PoolDown               there is no process that could compress
│   ├── NoWorkers          no worker has given a sign of life
│   └── BrokerDown         the broker does not answer
├── TaskFailed             a worker met a fault of ours
├── IdempotencyConflict    an Idempotency-Key came again with other content
├── QueueFull              too many images wait already
├── NoSpace                the disk cannot take it
├── ServerUnreachable      a server that is to be asked does not answer
├── ServerRefused          a server does not take what it was sent
├── SignatureError         a webhook does not carry a signature made with the secret
└── ImageError             one image failed; its code stands in the contract, section 5
    ├── InvalidUrl, BlockedAddress, DnsFailure, ConnectFailure, TlsFailure, FetchTimeout,
    │   HttpStatusError, TooManyRedirects, TooLarge                         (fetching)
    ├── NotAnImage, UnsupportedFormat, CorruptImage, TooManyPixels,
    │   CompressTimeout, CompressCrash                                      (compressing)
    ├── StorageFailure                                                      (storing)
    └── OutOfResources                                                      (anywhere)

An instance hands its facts to ``super().__init__`` in the order of its parameters, so that it
survives pickling on its way out of a pool child, and writes its message in ``__str__``.
"""

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
from resizer.errors.service import (
    AlreadyFinal,
    BatchNotFound,
    BodyTooSlow,
    BrokerDown,
    CatalogError,
    ConfigError,
    CrossOrigin,
    DatabaseFailure,
    DatabaseUnusable,
    DataFolderInUse,
    HostNotAllowed,
    IdempotencyConflict,
    NoSpace,
    NotFinished,
    NothingToRetry,
    NothingToSend,
    NoWorkers,
    OptionError,
    OriginalUnavailable,
    PoolDown,
    Problem,
    QueueFull,
    ResizerError,
    ServerRefused,
    ServerUnreachable,
    SignatureError,
    SpoolFailure,
    TaskFailed,
    UnsupportedBody,
    UnsupportedEncoding,
    UploadError,
    UploadTooLarge,
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
