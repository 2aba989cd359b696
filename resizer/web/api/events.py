"""Tell a client how a request comes on, by server-sent events."""

import json
import logging
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from aiohttp_sse import EventSourceResponse

from resizer.models import Batch
from resizer.web.api.requests import status_of
from resizer.web.api.results import break_off
from resizer.web.connection.leaving import ends_with_client
from resizer.web.keys import REQUESTS

logger = logging.getLogger(__name__)

#: seconds between two comments that keep a silent stream alive; proxies cut one after 30 to 60
HEARTBEAT = 15.0
#: milliseconds after which a browser that was cut off comes again; a restart of the service takes as long
RETRY: Final = 3000
#: what a browser says when it comes again: the id of the last event that it has seen
LAST_EVENT_ID: Final = "Last-Event-ID"


async def events(request: web.Request) -> web.StreamResponse:
    """Send the status as `progress` at once and on each change, and when it is final once more as `done`.

    A browser asks again when a stream ends; one that has seen this `done` is told 204, which ends that.
    """
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    # no limit for sending: who takes nothing of an answer is ended for all answers alike
    response = EventSourceResponse(ping_interval=HEARTBEAT, send_timeout=None)
    # of one hop, and not always true
    del response.headers[hdrs.CONNECTION]
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=response.headers)
    if batch.done and request.headers.get(LAST_EVENT_ID) == _end_of(batch):
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={hdrs.CACHE_CONTROL: "no-cache"})
    try:
        with ends_with_client(request):
            await _tell(request, response, batch)
    except ConnectionError:
        logger.debug("the client left before request %s had ended", batch.request_id)
    except Exception:
        # the status is out already
        logger.exception("telling of request %s broke off", batch.request_id)
        break_off(request)
    return response


async def _tell(request: web.Request, response: EventSourceResponse, batch: Batch) -> None:
    await response.prepare(request)
    async with response, aclosing(request.app[REQUESTS].follow(batch)) as states:
        retry: int | None = RETRY
        async for state in states:
            body = json.dumps(await status_of(request, state), ensure_ascii=False)
            await response.send(body, event="progress", retry=retry)
            if state.done:
                await response.send(body, event="done", id=_end_of(state))
            retry = None


def _end_of(batch: Batch) -> str:
    """Name the end of a batch; one that is tried again has another."""
    return f"done-{batch.finished_at}"
