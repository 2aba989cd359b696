"""One line for each HTTP request answered, and which of a client's requests its lines belong to."""

import logging
import re

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler

from resizer.support.log_context import tied_to

#: the client's request that the HTTP request is about
REQUEST_ID = web.RequestKey("request_id", str)
#: ids as the service makes them; anything else in a path is the client's own text
OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@web.middleware
async def tie_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tie what is logged meanwhile to the request that the path names."""
    request_id = request.match_info.get("request_id", "")
    if not OURS.fullmatch(request_id):
        return await handler(request)
    request[REQUEST_ID] = request_id
    with tied_to(request_id):
        return await handler(request)


class AccessLogger(AbstractAccessLogger):
    """Logs who asked for which path; never a query or a header, where clients put what is secret."""

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.DEBUG)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        figures = {
            "remote": request.remote,
            "method": request.method,
            # as it came: decoded it could hold a line break
            "path": request.rel_url.raw_path,
            "status": response.status,
            "bytes": response.body_length,
            "seconds": round(time, 6),
        }
        with tied_to(request.get(REQUEST_ID)):
            self.logger.debug(
                "%(remote)s %(method)s %(path)s %(status)s %(bytes)s bytes %(seconds).3f s",
                figures,
                extra={"figures": figures},
            )
