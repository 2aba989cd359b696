"""Send a body piece by piece."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import hdrs, web

from resizer.errors import BatchNotFound, StorageFailure

logger = logging.getLogger(__name__)

#: bytes read from a file at once
PIECE = 256 * 1024


async def send_download(
    request: web.Request, pieces: AsyncIterator[bytes], *, filename: str, content_type: str
) -> web.StreamResponse:
    """Answer with a file that a browser saves as `filename`."""
    response = web.StreamResponse(
        headers={
            "Content-Type": content_type,
            "Content-Disposition": attachment(filename),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return await send_body(request, response, pieces, name=filename)


async def send_body(
    request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes], *, name: str
) -> web.StreamResponse:
    """Send the response with this body, or without it for HEAD; abort the connection if a piece is missing.

    Raises what the first piece raises, before anything is sent; `name` is for the log.
    """
    if request.method == hdrs.METH_HEAD:
        await response.prepare(request)
        return response
    first = await anext(pieces, b"")
    try:
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        logger.debug("Client disconnected before %s was sent", name)
    except (BatchNotFound, StorageFailure) as error:
        logger.warning("Sending %s failed: %s; closing the connection", name, error)
        abort(request)
    except Exception:
        logger.exception("Sending %s failed; closing the connection", name)
        abort(request)
    return response


def abort(request: web.Request) -> None:
    """Break the connection: once the status is sent, nothing else reports an incomplete body."""
    if request.transport is not None:
        request.transport.abort()


async def pieces_of(file: BinaryIO, first: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes of a file from `first` to before `end`. Raises `EOFError` if it is shorter."""
    file.seek(first)
    while first < end:
        piece = await asyncio.to_thread(file.read, min(PIECE, end - first))
        if not piece:
            raise EOFError(f"the file has {first} bytes instead of {end}")
        first += len(piece)
        yield piece


def attachment(filename: str) -> str:
    """Return a Content-Disposition (RFC 6266) for any file name, with an ASCII form for old clients."""
    plain = "".join(
        each if each.isascii() and each.isprintable() and each not in '"\\%' else "_" for each in filename
    )
    header = f'attachment; filename="{plain}"'
    return header if plain == filename else f"{header}; filename*=UTF-8''{quote(filename, safe='')}"
