"""A webhook receiver that fails now and then, and remembers every call."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from random import Random
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from resizer.webhooks.signing import verify
from service import SECRET

#: mostly well: an event has few tries in these runs
ANSWERS = [204, 204, 204, 204, 200, 500, 503, 410]
#: seconds for which a call is kept waiting at most
SLOW = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One try that arrived."""

    webhook_id: str
    #: receiver's path
    path: str
    body: bytes
    payload: dict[str, Any]
    status: int


class Listener:
    """Two receivers on one port, from `async with` to its end."""

    def __init__(self, moments: Random) -> None:
        self._moments = moments
        self.calls: list[Call] = []
        app = web.Application()
        app.router.add_post("/{receiver}", self._receive)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def url(self, receiver: str) -> str:
        return str(self._server.make_url(f"/{receiver}"))

    def by_event(self) -> dict[tuple[str, str], list[Call]]:
        """All calls by their webhook id and the URL called."""
        found: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in self.calls:
            found[call.webhook_id, self.url(call.path)].append(call)
        return found

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self._moments.choice(ANSWERS)
        self.calls.append(
            Call(
                webhook_id=request.headers["webhook-id"],
                path=request.match_info["receiver"],
                body=body,
                payload=verify(SECRET, request.headers, body),
                status=status,
            )
        )
        await asyncio.sleep(self._moments.choice([0, 0, SLOW]))
        return web.Response(status=status)
