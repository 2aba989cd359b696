"""One connection: what cannot be read as a request is answered as a problem too."""

import logging
from http import HTTPStatus

from aiohttp import web

from resizer.web.problems import problem

logger = logging.getLogger(__name__)


class Protocol(web.RequestHandler):
    """aiohttp's, but for errors that come before any of our code: they are the client's, and no news."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        logger.debug("%s sent what is no request: %s", request.remote, exc)
        known = HTTPStatus(status)
        response = problem(
            known, None, f"this cannot be read as a request: {known.description or known.phrase}"
        )
        response.force_close()
        return response
