"""Send a stored image, or one range of its bytes."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Self

from aiohttp import hdrs, web

from resizer.storage.base import CACHE_CONTROL, StoredObject, content_type_of
from resizer.web.api.downloads import pieces_of, send_body
from resizer.web.keys import STORAGE
from resizer.web.problems import problem

#: one range of bytes; several, other units and malformed ones are ignored (RFC 9110, 14.2)
RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII | re.IGNORECASE)
#: bytes read when a file is opened; most images are smaller
HEAD = 128 * 1024
NO_SUCH_IMAGE = "there is no such image"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalFile:
    """An open file of this machine, as a `StoredObject`."""

    file: BinaryIO
    #: the first bytes, read with the same call to a thread
    head: bytes
    size: int
    etag: str
    modified: float

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file. Raises `OSError`."""
        file = path.open("rb")
        found = os.fstat(file.fileno())
        # the tag that earlier versions gave it: clients hold copies
        etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        head = file.read(HEAD)
        return cls(file=file, head=head, size=found.st_size, etag=etag, modified=found.st_mtime)

    async def read(self, first: int, end: int) -> AsyncIterator[bytes]:
        if head := self.head[first:end]:
            yield head
        async for piece in pieces_of(self.file, first + len(head), end):
            yield piece


async def compressed(request: web.Request) -> web.StreamResponse:
    """Answer with a compressed image; the file under a name never changes."""
    name = request.match_info["filename"]
    found = await request.app[STORAGE].find(name)
    if found is None:
        raise web.HTTPNotFound(text=NO_SUCH_IMAGE)
    if not isinstance(found, Path):
        return await _send_image(request, found, name)
    try:
        local = await asyncio.to_thread(LocalFile.open, found)
    except FileNotFoundError:
        raise web.HTTPNotFound(text=NO_SUCH_IMAGE) from None
    with local.file:
        return await _send_image(request, local, name)


async def _send_image(request: web.Request, found: StoredObject, name: str) -> web.StreamResponse:
    """Answer as the preconditions (RFC 9110, 13.2.2) and the Range ask."""
    response = web.StreamResponse(headers={hdrs.ACCEPT_RANGES: "bytes", hdrs.ETAG: found.etag})
    response.last_modified = found.modified
    response.headers[hdrs.CACHE_CONTROL] = CACHE_CONTROL
    if _precondition_fails(request, found):
        raise web.HTTPPreconditionFailed(text="the image is not the one the request requires")
    if _is_cached(request, found):
        response.set_status(HTTPStatus.NOT_MODIFIED)
        await response.prepare(request)
        await response.write_eof()
        return response
    response.content_type = content_type_of(name)
    span = range(found.size)
    wanted = requested_range(request)
    known = request.headers.get(hdrs.IF_RANGE, found.etag).strip()
    if wanted is not None and known in {found.etag, response.headers[hdrs.LAST_MODIFIED]}:
        span = span_of(wanted, found.size)
        if not span:
            return _range_not_satisfiable(found.size)
        response.set_status(HTTPStatus.PARTIAL_CONTENT)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {span.start}-{span.stop - 1}/{found.size}"
    response.content_length = len(span)
    return await send_body(request, response, found.read(span.start, span.stop), name=name)


def requested_range(request: web.BaseRequest) -> re.Match[str] | None:
    """Return the requested range; None if there is none or it is to be ignored."""
    found = RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found and found[2] and int(found[2]) < int(found[1]):
        return None
    return found


def span_of(wanted: re.Match[str], size: int) -> range:
    """Return the bytes that a range covers in a file of this size; empty if it starts behind the end."""
    first, last, suffix = wanted.groups()
    if suffix:
        return range(max(size - int(suffix), 0), size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def _range_not_satisfiable(size: int) -> web.Response:
    return problem(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        None,
        f"the image has {size} bytes, none of them in that range",
        headers={"Content-Range": f"bytes */{size}"},
    )


def _precondition_fails(request: web.Request, found: StoredObject) -> bool:
    if request.if_match is not None:
        own = found.etag.strip('"')
        return not any(tag.value == "*" or (tag.value == own and not tag.is_weak) for tag in request.if_match)
    until = request.if_unmodified_since
    return until is not None and _modified(found) > until


def _is_cached(request: web.Request, found: StoredObject) -> bool:
    """Return whether the client has the image already."""
    if request.if_none_match is not None:
        own = found.etag.strip('"')
        return any(tag.value in {own, "*"} for tag in request.if_none_match)
    since = request.if_modified_since
    return since is not None and _modified(found) <= since


def _modified(found: StoredObject) -> datetime:
    return datetime.fromtimestamp(int(found.modified), UTC)
