"""A proxy between the service and a store that injects faults."""

from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

REFUSED = "<Error><Code>{}</Code><Message>as the test wants it</Message></Error>"


class FaultyStore:
    """Passes on requests, except the first `faults` and unknown ones."""

    def __init__(
        self,
        store: str,
        *,
        faults: int = 0,
        status: int = HTTPStatus.SERVICE_UNAVAILABLE,
        without_conditions: bool = False,
    ) -> None:
        self._store = store
        self._status = status
        self._without_conditions = without_conditions
        self.faults = faults
        self.refused = 0
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self._server.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.faults:
            self.faults -= 1
            self.refused += 1
            return web.Response(status=self._status, text=REFUSED.format("SlowDown"))
        if self._without_conditions and "If-None-Match" in request.headers:
            return web.Response(status=HTTPStatus.NOT_IMPLEMENTED, text=REFUSED.format("NotImplemented"))
        url = URL(f"{self._store}{request.raw_path}", encoded=True)
        async with self._session.request(request.method, url, headers=request.headers, data=body) as answer:
            return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())
