"""What the service has counted, for Prometheus; and the counting of HTTP answers."""

import asyncio
import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from resizer.errors import DatabaseFailure
from resizer.metrics import Standing
from resizer.web.keys import METRICS, STANDING

logger = logging.getLogger(__name__)

#: seconds for the database; scrapers wait for 10 by default, and all else is worth most when it hangs
PATIENCE = 5.0
UNMATCHED = "unmatched"


async def metrics(request: web.Request) -> web.Response:
    """Tell what was counted since the start, and how things stand."""
    accept = ",".join(request.headers.getall("Accept", ()))
    body, content_type = request.app[METRICS].expose(await _standing(request), accept=accept)
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept"}
    return web.Response(body=body, headers=headers)


async def _standing(request: web.Request) -> Standing | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.app[STANDING]()
    except TimeoutError:
        logger.warning("metrics are told without what the database knows: no answer within %g s", PATIENCE)
    except DatabaseFailure as error:
        logger.warning("metrics are told without what the database knows: %s", error)
    return None


@web.middleware
async def count_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count each answer by the template of its route: paths as clients send them have no bound."""
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
