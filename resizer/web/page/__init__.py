"""Serve the web page: the files beside this module, from memory."""

import hashlib
import html
import json
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final, Self

from aiohttp import hdrs, web

from resizer.config import Settings

__all__ = ["Page"]

INDEX: Final = "index.html"
#: occurs once in the page, and is replaced by the settings in force
PLACEHOLDER: Final = '<meta name="resizer" content="SETTINGS">'
CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file, ready to send."""

    body: bytes
    content_type: str
    #: file name of a download; None for a file that the browser displays
    saved_as: str | None
    #: ETag, a hash of the body
    tag: str

    @classmethod
    def of(cls, body: bytes, content_type: str, *, saved_as: str | None = None) -> Self:
        tag = hashlib.blake2b(body, digest_size=16).hexdigest()
        return cls(body=body, content_type=content_type, saved_as=saved_as, tag=tag)


class Page:
    """The page and its files as of the start of the service; requests read nothing from the disk.

    Raises `ValueError` if the page has no placeholder for the settings.
    """

    def __init__(self, settings: Settings, folder: Traversable | None = None) -> None:
        folder = files(__name__) if folder is None else folder
        text = folder.joinpath(INDEX).read_text(encoding="utf-8")
        self._index = File.of(_with_settings(text, settings).encode(), "text/html; charset=utf-8")
        self._files = {
            each.name: _file_of(each)
            for each in folder.iterdir()
            if PurePosixPath(each.name).suffix in CONTENT_TYPES and each.is_file()
        }

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/", self._send_index)
        app.router.add_get("/page/{name}", self._send_file)

    async def _send_index(self, request: web.Request) -> web.Response:
        return _send(request, self._index)

    async def _send_file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(text="the page has no such file")
        return _send(request, file)


def _file_of(path: Traversable) -> File:
    suffix = PurePosixPath(path.name).suffix
    # the sample is for users to save
    saved_as = path.name if suffix == ".csv" else None
    return File.of(path.read_bytes(), CONTENT_TYPES[suffix], saved_as=saved_as)


def _with_settings(text: str, settings: Settings) -> str:
    if text.count(PLACEHOLDER) != 1:
        raise ValueError(f"{INDEX} must contain {PLACEHOLDER} exactly once")
    facts = {
        "quality": settings.compress.quality,
        "format": settings.compress.format,
        "effort": settings.compress.effort,
        "max_width": settings.compress.max_width,
        "max_height": settings.compress.max_height,
        "fit": settings.compress.fit,
        "background": settings.compress.background,
        "max_upload_size": int(settings.server.max_upload_size),
        "tokens": bool(settings.server.api_tokens),
    }
    filled = PLACEHOLDER.replace("SETTINGS", html.escape(json.dumps(facts)))
    return text.replace(PLACEHOLDER, filled)


def _send(request: web.Request, file: File) -> web.Response:
    headers = {**HEADERS, hdrs.ETAG: f'"{file.tag}"'}
    if any(each.value in {file.tag, "*"} for each in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    if file.saved_as is not None:
        headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{file.saved_as}"'
    return web.Response(body=file.body, headers={**headers, hdrs.CONTENT_TYPE: file.content_type})
