"""Send a result piece by piece."""

import logging
from collections.abc import AsyncIterator
from urllib.parse import quote

from aiohttp import hdrs, web

logger = logging.getLogger(__name__)


async def send_csv(
    request: web.Request, chunks: AsyncIterator[bytes], *, filename: str
) -> web.StreamResponse:
    """Answer with a CSV to be saved under this name."""
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": attachment(filename),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        async for chunk in chunks:
            await response.write(chunk)
    except ConnectionError:
        logger.debug("the client left before %s was sent", filename)
    except Exception:
        # the status is out already: only a broken connection tells that the rest is missing
        logger.exception("sending %s broke off", filename)
        if request.transport is not None:
            request.transport.abort()
    else:
        await response.write_eof()
    return response


def attachment(filename: str) -> str:
    """Return a Content-Disposition (RFC 6266) that old clients and any script's letters can take."""
    plain = "".join(
        each if each.isascii() and each.isprintable() and each not in '"\\%' else "_" for each in filename
    )
    header = f'attachment; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='')}"
