"""What the HTTP handlers find in the application."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import BinaryIO, Protocol

from aiohttp import web

from resizer.config import Settings
from resizer.metrics import Metrics, Standing
from resizer.pipeline.lifecycle import Lifecycle
from resizer.pipeline.requests import Requests
from resizer.storage.base import Storage

#: raises a `ResizerError` where the part cannot do its work
Check = Callable[[], Awaitable[None]]


class Original(Protocol):
    """An image as its host gives it now."""

    @property
    def file(self) -> BinaryIO: ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def content_type(self) -> str:
        """By the content: that of an image."""
        ...


SETTINGS = web.AppKey("settings", Settings)
REQUESTS = web.AppKey("requests", Requests)
LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
STORAGE = web.AppKey("storage", Storage)
METRICS = web.AppKey("metrics", Metrics)
#: raises `DatabaseFailure`
STANDING: web.AppKey[Callable[[], Awaitable[Standing]]] = web.AppKey("standing")
#: fetches what a URL gives now; raises `ImageError`
ORIGINALS: web.AppKey[Callable[[str], AbstractAsyncContextManager[Original]]] = web.AppKey("originals")
#: by the name of the part; each is added by its owner as it opens
CHECKS = web.AppKey("checks", dict[str, Check])
