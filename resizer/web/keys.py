"""Keys of everything that HTTP handlers read from the application."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import BinaryIO, Protocol

from aiohttp import web

from resizer.config import Settings
from resizer.metrics import Metrics, QueueStats
from resizer.pipeline.lifecycle import Lifecycle
from resizer.pipeline.requests import Requests
from resizer.storage.base import Storage

#: raises a `ResizerError` if the part does not work
Check = Callable[[], Awaitable[None]]


class Original(Protocol):
    """An image as its host serves it now."""

    @property
    def file(self) -> BinaryIO: ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def content_type(self) -> str:
        """From the content, not from the host."""
        ...


SETTINGS = web.AppKey("settings", Settings)
REQUESTS = web.AppKey("requests", Requests)
LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
STORAGE = web.AppKey("storage", Storage)
METRICS = web.AppKey("metrics", Metrics)
#: raises `DatabaseFailure`
QUEUE_STATS: web.AppKey[Callable[[], Awaitable[QueueStats]]] = web.AppKey("queue_stats")
#: downloads an image URL; raises `ImageError`
ORIGINALS: web.AppKey[Callable[[str], AbstractAsyncContextManager[Original]]] = web.AppKey("originals")
#: by name of the part; each part adds its own when it opens
CHECKS = web.AppKey("checks", dict[str, Check])
#: whether the installed aiohttp is like the tested one; see `connection.aiohttp_internals`
AIOHTTP_TESTED = web.AppKey("aiohttp_tested", bool)
