"""Answer OPTIONS, and 405 for other methods, with the methods a path takes."""

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler


def methods_of(request: web.Request) -> tuple[str, ...]:
    """Return the methods that the path takes if the request's own is not among them, else nothing."""
    unmatched = request.match_info.http_exception
    if isinstance(unmatched, web.HTTPMethodNotAllowed):
        return tuple(sorted({*unmatched.allowed_methods, hdrs.METH_OPTIONS}))
    return ()


@web.middleware
async def answer_methods(request: web.Request, handler: Handler) -> web.StreamResponse:
    methods = methods_of(request)
    if not methods:
        return await handler(request)
    allow = ", ".join(methods)
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allow})
    refusal = web.HTTPMethodNotAllowed(
        request.method, methods, text=f"this path does not accept {request.method[:32]}; use {allow}"
    )
    refusal.headers["Allow"] = allow
    raise refusal
