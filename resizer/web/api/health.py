"""Whether the service lives, and whether it can do its work."""

import asyncio
import logging
from http import HTTPStatus

from aiohttp import web

from resizer.errors import ResizerError
from resizer.web.answers import answer_json
from resizer.web.keys import CHECKS, Check
from resizer.web.problems import RETRY_SOON, problem

logger = logging.getLogger(__name__)

#: seconds; a part that takes longer to say that it is well is not
PATIENCE = 5.0


async def healthz(request: web.Request) -> web.Response:
    """Say that the process answers, whatever its parts can do."""
    del request
    return answer_json({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Say whether what every upload and image needs can do its work; 503 names what cannot."""
    checks = request.app[CHECKS]
    faults = await asyncio.gather(*map(_fault_of, checks.values()))
    failing = {part: fault for part, fault in zip(checks, faults, strict=True) if fault}
    if not failing:
        return answer_json({"status": "ok"})
    told = "; ".join(f"{part}: {fault}" for part, fault in failing.items())
    logger.warning("not ready: %s", told)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", told, facts={"failing": [*failing]}, headers=RETRY_SOON
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
