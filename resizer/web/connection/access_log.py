"""Log HTTP requests, and add the request_id to every line logged while one is handled."""

import logging
import re

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler

from resizer.support.log_context import log_request_id

#: the upload that the HTTP request is about
REQUEST_ID = web.RequestKey("request_id", str)
#: ids made by the service; other text in a path is not logged
ID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@web.middleware
async def log_with_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the request_id in the path to everything logged in the handler."""
    request_id = request.match_info.get("request_id", "")
    if not ID_PATTERN.fullmatch(request_id):
        return await handler(request)
    request[REQUEST_ID] = request_id
    with log_request_id(request_id):
        return await handler(request)


class AccessLogger(AbstractAccessLogger):
    """Logs client, method and path; never a query or a header, which hold secrets."""

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.DEBUG)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        figures = {
            "remote": request.remote,
            "method": request.method,
            # as sent: decoded it could contain a line break
            "path": request.rel_url.raw_path,
            "status": response.status,
            "bytes": response.body_length,
            "seconds": round(time, 6),
        }
        with log_request_id(request.get(REQUEST_ID)):
            self.logger.debug(
                "%(remote)s %(method)s %(path)s %(status)s %(bytes)s bytes %(seconds).3f s",
                figures,
                extra={"figures": figures},
            )
