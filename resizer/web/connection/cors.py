"""Cross-origin resource sharing: which origins' pages may call the API from a browser."""

from collections.abc import Collection
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from resizer.config import ANY_ORIGIN
from resizer.web.connection.methods import methods_of

#: seconds for which a browser need not ask again; Chromium takes no more
MAX_AGE = 7200
#: of a request, besides those that need no leave
ALLOW_HEADERS = (
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "Idempotency-Key",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
)
#: of an answer, besides those that every page may read
EXPOSE_HEADERS = (
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "Date",
    "ETag",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
)


class Cors:
    """Tells browsers whose pages may read an answer: those of `origins`, as the configuration has them.

    A list of origins is never answered with another one; no answer allows cookies.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._any = ANY_ORIGIN in origins
        self._origins = frozenset(origins)

    def add_to(self, app: web.Application) -> None:
        """Add what is needed, which is nothing where no origin is listed; who comes later comes after it."""
        if self._origins:
            app.middlewares.append(self._middleware())
            app.on_response_prepare.append(self._add_headers)

    def lists(self, request: web.Request) -> bool:
        """Tell whether pages of the origin that sent this request may call the API."""
        return self._any or self._granted(request) is not None

    def _middleware(self) -> Middleware:
        @web.middleware
        async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
            """Answer a browser that asks, without a token, whether it may send the request itself."""
            if (
                request.method != hdrs.METH_OPTIONS
                or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers
            ):
                return await handler(request)
            if self._granted(request) is None:
                return await handler(request)
            methods = methods_of(request)
            if not methods:
                raise web.HTTPNotFound
            return web.Response(
                status=HTTPStatus.NO_CONTENT,
                headers={
                    hdrs.ALLOW: ", ".join(methods),
                    hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(methods),
                    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(ALLOW_HEADERS),
                    hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE),
                },
            )

        return answer_preflight

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        if not self._any:
            # also where no origin was sent: a cache must not give this answer to a page that sends one
            varies = response.headers.get(hdrs.VARY)
            response.headers[hdrs.VARY] = f"{varies}, {hdrs.ORIGIN}" if varies else hdrs.ORIGIN
        granted = self._granted(request)
        if granted is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = granted
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(EXPOSE_HEADERS)

    def _granted(self, request: web.Request) -> str | None:
        """Return the origin to name in the answer; None where the request's own is not listed."""
        given = request.headers.getall(hdrs.ORIGIN, ())
        if len(given) != 1:
            return None
        if self._any:
            return ANY_ORIGIN
        return given[0] if given[0].lower() in self._origins else None
