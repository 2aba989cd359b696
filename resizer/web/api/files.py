"""Send a stored image, or the part of it that is asked for."""

import asyncio
import os
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from resizer.errors import OutOfResources, shortage
from resizer.storage.base import content_type_of
from resizer.web.problems import problem

#: one range of bytes; more at once, other units and what is malformed are passed over (RFC 9110, 14.2)
RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII | re.IGNORECASE)
#: with these it is not certain that the range counts
CONDITIONS = frozenset({hdrs.IF_RANGE, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE})


class ImageFile(web.FileResponse):
    """aiohttp's, but for a Range that is none, or that is of another file: then the whole is sent."""

    #: whether a Range is passed over
    whole = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if hdrs.RANGE in request.headers and (self.whole or range_of(request) is None):
            headers = request.headers.copy()
            headers.popall(hdrs.RANGE)
            request = request.clone(headers=headers)
        return await super().prepare(request)

    def _make_response(self, request: web.BaseRequest, accept_encoding: str) -> Any:
        # whatever keeps the file from being opened is a 404 to aiohttp
        try:
            return super()._make_response(request, accept_encoding)
        except OSError as error:
            if lacking := shortage(error):
                raise OutOfResources(lacking) from error
            raise


async def send_image(request: web.Request, path: Path) -> web.StreamResponse:
    """Answer with a compressed image, a part of it, or that it has no such part."""
    image = ImageFile(path, headers={"Content-Type": content_type_of(path.name)})
    wanted = range_of(request)
    if wanted is None:
        return image
    try:
        found = await asyncio.to_thread(path.stat)
    except FileNotFoundError:
        raise web.HTTPNotFound(text="there is no such image") from None
    image.whole = _is_of_another_file(request, found)
    if not span_of(wanted, found.st_size) and not image.whole and CONDITIONS.isdisjoint(request.headers):
        return no_such_range(found.st_size)
    return image


def no_such_range(size: int) -> web.Response:
    return problem(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        None,
        f"the image has {size} bytes, none of them in that range",
        headers={"Content-Range": f"bytes */{size}"},
    )


def span_of(wanted: re.Match[str], size: int) -> range:
    """Return the bytes that a range asks for of a file of this size; none where it lies beyond."""
    first, last, suffix = wanted.groups()
    if suffix:
        return range(max(size - int(suffix), 0), size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def _is_of_another_file(request: web.BaseRequest, found: os.stat_result) -> bool:
    """Tell whether the client has a part of another file (RFC 9110, 13.1.5); aiohttp looks at dates alone."""
    known = request.headers.get(hdrs.IF_RANGE, "").strip()
    # the tag that aiohttp gives a file
    return known.endswith('"') and known != f'"{found.st_mtime_ns:x}-{found.st_size:x}"'


def range_of(request: web.BaseRequest) -> re.Match[str] | None:
    """Return the one range that is asked for; None where it is none that counts."""
    found = RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found and found[2] and int(found[2]) < int(found[1]):
        return None
    return found
