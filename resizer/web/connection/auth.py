"""Bearer tokens: who may call what."""

import hashlib
import hmac
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import SecretStr

#: paths that want no token (contract, section 5)
OPEN_PATHS = frozenset({"/", "/ping", "/healthz"})
OPEN_PREFIXES = ("/compressed/", "/page/")


def require_token(tokens: Iterable[SecretStr]) -> Middleware:
    """Return the middleware that lets only bearers of one of `tokens` pass; with none everyone may."""
    known = [_digest(token.get_secret_value()) for token in tokens]

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # as it came: decoded, a path that no route knows could look like an open one
        path = request.rel_url.raw_path
        if not known or path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return await handler(request)
        given_headers = request.headers.getall("Authorization", ())
        # of two it is not clear which one a proxy in front has judged
        scheme, _, token = (given_headers[0] if len(given_headers) == 1 else "").partition(" ")
        given = _digest(token.strip())
        # every token is compared, in constant time, so that the time tells nothing
        matches = [hmac.compare_digest(given, each) for each in known]
        if scheme.lower() != "bearer" or not any(matches):
            raise web.HTTPUnauthorized(
                text="this needs a token: send the header 'Authorization: Bearer TOKEN'",
                headers={"WWW-Authenticate": 'Bearer realm="resizer"'},
            )
        return await handler(request)

    return middleware


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
