"""Send an image out of an object store, or the part of it that is asked for."""

import logging
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import hdrs, web

from resizer.errors import StorageFailure
from resizer.storage.base import StoredObject, content_type_of
from resizer.web.api.files import no_such_range, range_of, span_of
from resizer.web.api.results import break_off

logger = logging.getLogger(__name__)


class ObjectResponse(web.StreamResponse):
    """An image out of a store, or that the client has it already."""


async def send_object(request: web.Request, found: StoredObject, name: str) -> web.StreamResponse:
    """Answer with an image, a part of it, that it has no such part, or that it is as the client has it."""
    response = ObjectResponse(headers={"Accept-Ranges": "bytes"})
    response.headers[hdrs.ETAG] = found.etag
    response.last_modified = found.modified
    if _is_known(request, found):
        response.set_status(HTTPStatus.NOT_MODIFIED)
        await response.prepare(request)
        await response.write_eof()
        return response
    response.content_type = content_type_of(name)
    span = range(found.size)
    wanted = range_of(request)
    if wanted is not None and request.headers.get(hdrs.IF_RANGE, found.etag).strip() == found.etag:
        span = span_of(wanted, found.size)
        if not span:
            return no_such_range(found.size)
        response.set_status(HTTPStatus.PARTIAL_CONTENT)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {span.start}-{span.stop - 1}/{found.size}"
    response.content_length = len(span)
    if request.method == hdrs.METH_HEAD:
        await response.prepare(request)
        return response
    return await _send(request, response, found, span)


async def _send(
    request: web.Request, response: ObjectResponse, found: StoredObject, span: range
) -> web.StreamResponse:
    # before the status is out: a store that is away is told as such
    pieces = found.read(span.start, span.stop)
    first = await anext(pieces, b"")
    try:
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        logger.debug("the client left before the image was sent")
    except StorageFailure as error:
        # the status is out already: only a broken connection tells that the rest is missing
        logger.warning("sending an image broke off: %s", error)
        break_off(request)
    return response


def _is_known(request: web.Request, found: StoredObject) -> bool:
    """Tell whether the client has it already (RFC 9110, 13.2.2)."""
    tags = request.if_none_match
    if tags is not None:
        own = found.etag.strip('"')
        return any(tag.value in {own, "*"} for tag in tags)
    since = request.if_modified_since
    return since is not None and datetime.fromtimestamp(int(found.modified), UTC) <= since
