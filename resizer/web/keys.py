"""What the HTTP handlers find in the application."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from resizer.batches import Batches
from resizer.config import Settings
from resizer.metrics import Metrics, Standing
from resizer.storage.base import Storage

#: raises a `ResizerError` where the part cannot do its work
Check = Callable[[], Awaitable[None]]

SETTINGS = web.AppKey("settings", Settings)
BATCHES = web.AppKey("batches", Batches)
STORAGE = web.AppKey("storage", Storage)
METRICS = web.AppKey("metrics", Metrics)
#: raises `DatabaseFailure`
STANDING: web.AppKey[Callable[[], Awaitable[Standing]]] = web.AppKey("standing")
#: by the name of the part; each is added by its owner as it opens
CHECKS = web.AppKey("checks", dict[str, Check])
