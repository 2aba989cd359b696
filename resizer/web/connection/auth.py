"""Bearer tokens."""

import hashlib
import hmac
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import SecretStr

#: paths that need no token
OPEN_PATHS = frozenset({"/", "/ping", "/healthz"})
OPEN_PREFIXES = ("/compressed/", "/page/")


def require_token(tokens: Iterable[SecretStr]) -> Middleware:
    """Return a middleware that answers 401 without one of `tokens`; with none, everyone may call."""
    known = [_digest(token.get_secret_value()) for token in tokens]

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # as sent: decoded, an unknown path could look like an open one
        path = request.rel_url.raw_path
        if not known or path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return await handler(request)
        sent = request.headers.getall("Authorization", ())
        # of two headers, a proxy in front may have checked either
        scheme, _, token = (sent[0] if len(sent) == 1 else "").partition(" ")
        digest = _digest(token.strip())
        # compare every token, each in constant time, so that timing reveals nothing
        matches = [hmac.compare_digest(digest, each) for each in known]
        if scheme.lower() != "bearer" or not any(matches):
            raise web.HTTPUnauthorized(
                text="a token is required: send the header 'Authorization: Bearer TOKEN'",
                headers={"WWW-Authenticate": 'Bearer realm="resizer"'},
            )
        return await handler(request)

    return middleware


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
