"""The API's description as a web page."""

import base64
import hashlib
from importlib.resources import files
from typing import Final

from aiohttp import hdrs, web

from resizer.web.api.public_address import links_for
from resizer.web.keys import SETTINGS
from resizer.web.openapi import describe
from resizer.web.openapi.docs.layout import page_of

__all__ = ["docs"]

#: embedded, so that a page fetched with a token and saved is complete
STYLE: Final = files(__name__).joinpath("docs.css").read_text(encoding="utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def docs(request: web.Request) -> web.Response:
    """Send the page; it loads nothing and runs nothing."""
    document = describe(request.app[SETTINGS], origin=links_for(request).origin)
    return web.Response(
        text=page_of(document, style=STYLE),
        content_type="text/html",
        headers={
            hdrs.CACHE_CONTROL: "no-cache",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
