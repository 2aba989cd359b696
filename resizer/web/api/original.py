"""Send an image as its host gives it now: the page shows it beside what was made of it.

So the page loads nothing from other hosts, and shows also what this server alone can reach.
"""

import asyncio
import logging
import re

from aiohttp import hdrs, web

from resizer.errors import ImageError, OriginalUnavailable, OutOfResources
from resizer.web.api.results import break_off
from resizer.web.connection.leaving import ends_with_client
from resizer.web.keys import ORIGINALS, REQUESTS, Original

logger = logging.getLogger(__name__)

#: bytes read at once
PIECE = 256 * 1024
#: as the image body's place in the list, written in one way only
NUMBER = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
HEADERS = {
    # the same few are looked at again and again
    hdrs.CACHE_CONTROL: "private, max-age=600",
    # opened by itself it is a picture and nothing else, whatever a browser takes it for
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


async def original(request: web.Request) -> web.StreamResponse:
    """Fetch one image of a request, and send it; who leaves meanwhile ends that."""
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    number = request.match_info["number"]
    image = await batches.image(batch, int(number)) if NUMBER.fullmatch(number) else None
    if image is None:
        raise web.HTTPNotFound(text=f"request {batch.request_id} has no image {number[:64]!r}")
    with ends_with_client(request):
        try:
            async with request.app[ORIGINALS](image.url) as found:
                return await _send(request, found)
        except OutOfResources:
            raise  # it is no fault of the image's host
        except ImageError as error:
            raise OriginalUnavailable(str(error)) from error


async def _send(request: web.Request, found: Original) -> web.StreamResponse:
    response = web.StreamResponse(headers={**HEADERS, hdrs.CONTENT_TYPE: found.content_type})
    response.content_length = found.size
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        while piece := await asyncio.to_thread(found.file.read, PIECE):
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        logger.debug("the client left before the image was sent")
    except Exception:
        # the status is out already: only a broken connection tells that the rest is missing
        logger.exception("sending an original broke off")
        break_off(request)
    return response
