"""Liveness and readiness."""

import asyncio
import logging
from http import HTTPStatus

from aiohttp import web

from resizer.errors import ResizerError
from resizer.schemas.service_bodies import HealthBody, PingBody
from resizer.web.answers import answer_json
from resizer.web.keys import CHECKS, Check
from resizer.web.problems import RETRY_SOON, problem

logger = logging.getLogger(__name__)

#: seconds within which a part must answer
PATIENCE = 5.0
WELL: HealthBody = {"status": "ok"}


async def ping(request: web.Request) -> web.Response:
    del request
    body: PingBody = {"status": "pong"}
    return answer_json(body)


async def healthz(request: web.Request) -> web.Response:
    """Answer 200 while the process answers at all."""
    del request
    return answer_json(WELL)


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 if every part works, else 503 with the names of those that do not."""
    checks = request.app[CHECKS]
    faults = await asyncio.gather(*map(_fault_of, checks.values()))
    failing = {part: fault for part, fault in zip(checks, faults, strict=True) if fault}
    if not failing:
        return answer_json(WELL)
    detail = "; ".join(f"{part}: {fault}" for part, fault in failing.items())
    logger.warning("not ready: %s", detail)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", detail, facts={"failing": [*failing]}, headers=RETRY_SOON
    )


async def _fault_of(check: Check) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE):
            await check()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except ResizerError as error:
        return str(error)
    return None
