"""Cross-origin resource sharing: let pages of other origins call the API from a browser."""

from collections.abc import Collection
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from resizer.config import ANY_ORIGIN
from resizer.web.connection.allowed_methods import methods_of

#: seconds a browser may cache a preflight answer; Chromium caps it at this
MAX_AGE = "7200"
#: request headers beyond the CORS-safelisted ones
ALLOW_HEADERS = (
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Modified-Since, If-None-Match, "
    "If-Range, Last-Event-ID, Prefer, Range"
)
#: response headers beyond the CORS-safelisted ones
EXPOSE_HEADERS = (
    "Accept-Ranges, Allow, Content-Disposition, Content-Range, Date, ETag, Location, Preference-Applied, "
    "Retry-After, WWW-Authenticate"
)


class Cors:
    """Grants pages of the configured `origins` access; never with cookies."""

    def __init__(self, origins: Collection[str]) -> None:
        self._any = ANY_ORIGIN in origins
        self._origins = frozenset(origins)

    def add_to(self, app: web.Application) -> None:
        """Add the middleware and headers, unless no origin is configured."""
        if self._origins:
            app.middlewares.append(self._answer_preflight)
            app.on_response_prepare.append(self._add_headers)

    def allows(self, request: web.Request) -> bool:
        """Return whether pages of the request's origin may call the API."""
        return self._any or self._granted(request) is not None

    @web.middleware
    async def _answer_preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asks = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if not asks or self._granted(request) is None:
            return await handler(request)
        methods = ", ".join(methods_of(request))
        if not methods:
            raise web.HTTPNotFound
        headers = {
            hdrs.ALLOW: methods,
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: methods,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOW_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: MAX_AGE,
        }
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        if not self._any:
            # also without an Origin: a cache must not serve this answer to a page that sends one
            varies = response.headers.get(hdrs.VARY)
            response.headers[hdrs.VARY] = f"{varies}, {hdrs.ORIGIN}" if varies else hdrs.ORIGIN
        granted = self._granted(request)
        if granted is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = granted
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSE_HEADERS

    def _granted(self, request: web.Request) -> str | None:
        """Return the value of Access-Control-Allow-Origin; None if the origin is not configured."""
        sent = request.headers.getall(hdrs.ORIGIN, ())
        if len(sent) != 1:
            return None
        if self._any:
            return ANY_ORIGIN
        return sent[0] if sent[0].lower() in self._origins else None
