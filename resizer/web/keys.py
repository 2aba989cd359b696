"""What the HTTP handlers find in the application."""

from aiohttp import web

from resizer.batches import Batches
from resizer.config import Settings
from resizer.storage.base import Storage

SETTINGS = web.AppKey("settings", Settings)
BATCHES = web.AppKey("batches", Batches)
STORAGE = web.AppKey("storage", Storage)
