"""Which methods a path takes: told by OPTIONS, and to whoever uses another."""

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler


def methods_of(request: web.Request) -> tuple[str, ...]:
    """Return what the request's path takes, were it not for the request's own method; nothing if unknown."""
    unmatched = request.match_info.http_exception
    if isinstance(unmatched, web.HTTPMethodNotAllowed):
        return tuple(sorted({*unmatched.allowed_methods, hdrs.METH_OPTIONS}))
    return ()


@web.middleware
async def answer_methods(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer OPTIONS, and refuse what the path does not take; each lists what it does take."""
    methods = methods_of(request)
    if not methods:
        return await handler(request)
    allow = ", ".join(methods)
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allow})
    refusal = web.HTTPMethodNotAllowed(
        request.method, methods, text=f"this path does not take {request.method[:32]}; it takes {allow}"
    )
    refusal.headers["Allow"] = allow
    raise refusal
