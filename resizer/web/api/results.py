"""Send a result piece by piece."""

import logging
from collections.abc import AsyncIterator
from urllib.parse import quote

from aiohttp import hdrs, web

from resizer.errors import BatchNotFound, StorageFailure

logger = logging.getLogger(__name__)


async def send_csv(
    request: web.Request, chunks: AsyncIterator[bytes], *, filename: str
) -> web.StreamResponse:
    """Answer with a CSV to be saved under this name."""
    return await send_pieces(request, chunks, filename=filename, content_type="text/csv; charset=utf-8")


async def send_pieces(
    request: web.Request, pieces: AsyncIterator[bytes], *, filename: str, content_type: str
) -> web.StreamResponse:
    """Answer with a file to be saved under this name; where a part is lacking the connection breaks."""
    response = web.StreamResponse(
        headers={
            "Content-Type": content_type,
            "Content-Disposition": attachment(filename),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        async for piece in pieces:
            await response.write(piece)
    except ConnectionError:
        logger.debug("the client left before %s was sent", filename)
    except (BatchNotFound, StorageFailure) as error:
        logger.warning("sending %s broke off: %s", filename, error)
        break_off(request)
    except Exception:
        # the status is out already: only a broken connection tells that the rest is missing
        logger.exception("sending %s broke off", filename)
        break_off(request)
    else:
        await response.write_eof()
    return response


def break_off(request: web.Request) -> None:
    """Break the connection, so that the client does not take for whole what is not."""
    if request.transport is not None:
        request.transport.abort()


def attachment(filename: str) -> str:
    """Return a Content-Disposition (RFC 6266) that old clients and any script's letters can take."""
    plain = "".join(
        each if each.isascii() and each.isprintable() and each not in '"\\%' else "_" for each in filename
    )
    header = f'attachment; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='')}"
