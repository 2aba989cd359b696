"""The API's description (OpenAPI 3.1)."""

import json

from aiohttp import hdrs, web

from resizer.web.api.public_address import links_for
from resizer.web.keys import SETTINGS
from resizer.web.openapi.document import describe

__all__ = ["describe", "openapi"]


async def openapi(request: web.Request) -> web.Response:
    """Send the description, as it holds for this client."""
    document = describe(request.app[SETTINGS], origin=links_for(request).origin)
    return web.Response(
        text=json.dumps(document, ensure_ascii=False, indent=1),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-cache"},
    )
