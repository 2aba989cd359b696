"""Send an image as its host serves it now, for the page to show beside the compressed one.

The page therefore loads nothing from other hosts, and can show what only this server can reach.
"""

import re

from aiohttp import hdrs, web

from resizer.errors import ImageError, OriginalUnavailable, OutOfResources
from resizer.web.api.downloads import pieces_of, send_body
from resizer.web.connection.client_disconnect import cancelled_on_disconnect
from resizer.web.keys import ORIGINALS, REQUESTS

#: an image's index in the list, in its one spelling
NUMBER = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
HEADERS = {
    # the page shows the same few again and again
    hdrs.CACHE_CONTROL: "private, max-age=600",
    # opened on its own it must not run as a document
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


async def original(request: web.Request) -> web.StreamResponse:
    """Fetch one image of a request and send it; a disconnect cancels the download."""
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    number = request.match_info["number"]
    image = await batches.image(batch, int(number)) if NUMBER.fullmatch(number) else None
    if image is None:
        raise web.HTTPNotFound(text=f"request {batch.request_id} has no image {number[:64]!r}")
    with cancelled_on_disconnect(request):
        try:
            async with request.app[ORIGINALS](image.url) as found:
                response = web.StreamResponse(headers={**HEADERS, hdrs.CONTENT_TYPE: found.content_type})
                response.content_length = found.size
                pieces = pieces_of(found.file, 0, found.size)
                return await send_body(request, response, pieces, name=f"original {number}")
        except OutOfResources:
            raise  # not a fault of the image's host
        except ImageError as error:
            raise OriginalUnavailable(str(error)) from error
