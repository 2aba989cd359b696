"""Report a request's progress by server-sent events."""

import json
import logging
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp_sse import EventSourceResponse

from resizer.models import Batch
from resizer.web.api.downloads import abort
from resizer.web.api.requests import status_of
from resizer.web.connection.client_disconnect import cancelled_on_disconnect
from resizer.web.keys import REQUESTS

logger = logging.getLogger(__name__)

#: seconds between comments on a silent stream; proxies cut one after 30 to 60
HEARTBEAT = 15.0
#: milliseconds until a browser reconnects; a restart of the service takes as long
RETRY: Final = 3000
#: header in which a reconnecting browser names the last event it received
LAST_EVENT_ID: Final = "Last-Event-ID"


async def events(request: web.Request) -> web.StreamResponse:
    """Send the status as `progress` now and on each change, and the final one again as `done`.

    A browser reconnects when the stream ends; after `done` it is answered 204, which stops that.
    """
    batch = await request.app[REQUESTS].batch(request.match_info["request_id"])
    # no timeout of its own: WriteTimeout covers all answers
    response = EventSourceResponse(ping_interval=HEARTBEAT, send_timeout=None)
    # hop-by-hop, and wrong on some connections
    del response.headers[hdrs.CONNECTION]
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=response.headers)
    if batch.done and request.headers.get(LAST_EVENT_ID) == _done_id(batch):
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={hdrs.CACHE_CONTROL: "no-cache"})
    try:
        with cancelled_on_disconnect(request):
            await _send_events(request, response, batch)
    except ConnectionError:
        logger.debug("Client disconnected before request %s ended", batch.request_id)
    except Exception:
        logger.exception("Sending events of request %s failed; closing the connection", batch.request_id)
        abort(request)
    return response


async def _send_events(request: web.Request, response: EventSourceResponse, batch: Batch) -> None:
    await response.prepare(request)
    async with response, aclosing(request.app[REQUESTS].follow(batch)) as states:
        retry: int | None = RETRY
        async for state in states:
            body = json.dumps(await status_of(request, state), ensure_ascii=False)
            await response.send(body, event="progress", retry=retry)
            if state.done:
                await response.send(body, event="done", id=_done_id(state))
            retry = None


def _done_id(batch: Batch) -> str:
    """Return the id of the `done` event; a retried batch gets a new one."""
    return f"done-{batch.finished_at}"
