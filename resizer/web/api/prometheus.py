"""Metrics for Prometheus, and the count of HTTP answers."""

import asyncio
import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from resizer.errors import DatabaseFailure
from resizer.metrics import QueueStats
from resizer.web.keys import METRICS, QUEUE_STATS

logger = logging.getLogger(__name__)

#: seconds for the database; scrapers wait for 10 by default, and the other metrics matter most if it hangs
PATIENCE = 5.0
UNMATCHED = "unmatched"


async def metrics(request: web.Request) -> web.Response:
    """Answer with counters since the start and the state of the queue."""
    accept = ",".join(request.headers.getall("Accept", ()))
    body, content_type = request.app[METRICS].expose(await _queue_state(request), accept=accept)
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept"}
    return web.Response(body=body, headers=headers)


async def _queue_state(request: web.Request) -> QueueStats | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.app[QUEUE_STATS]()
    except TimeoutError:
        reason = f"no answer within {PATIENCE:g} s"
    except DatabaseFailure as error:
        reason = str(error)
    logger.warning("Cannot read queue metrics: %s; answering without them", reason)
    return None


@web.middleware
async def count_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count each answer by the template of its route: the number of paths has no bound."""
    started = time.perf_counter()
    status = None
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        if status is not None:
            resource = request.match_info.route.resource
            route = UNMATCHED if resource is None else resource.canonical
            seconds = time.perf_counter() - started
            request.app[METRICS].http_answered(route, request.method, status, seconds)
    return response
