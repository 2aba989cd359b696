"""One line for each request answered."""

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger


class AccessLogger(AbstractAccessLogger):
    """Logs who asked for which path; never a query or a header, where clients put what is secret."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        # the path as it came: decoded it could hold a line break
        path = request.rel_url.raw_path
        self.logger.info(
            "%s %s %s %s %s bytes %.3f s",
            request.remote, request.method, path, response.status, response.body_length, time,
        )  # fmt: skip
