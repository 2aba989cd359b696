"""Read a request's body within limits, with its Content-Encoding undone."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import StreamReader, hdrs, web

from resizer.errors import UploadError, UploadTooLarge
from resizer.web.connection.content_encoding import inflater_for

#: bytes of a line that belongs to the form itself: a boundary or a header of a part
LONGEST_LINE = 8190


class BodyReader:
    """A body as `pieces`, or through the methods of `StreamReader` that `aiohttp.MultipartReader` calls.

    Reading raises `UploadTooLarge` beyond `most` bytes, sent or decompressed, and reports `limit` to the
    client; `UploadError` where the encoding is broken; and aiohttp's errors where the body is cut off.
    Raises `UnsupportedEncoding`.
    """

    def __init__(self, request: web.Request, *, most: int, limit: int) -> None:
        self._content: StreamReader = request.content
        self._inflater = inflater_for(request.headers.get(hdrs.CONTENT_ENCODING, ""))
        self._most = most
        self._limit = limit
        self._pieces = self.pieces()
        self._buffer = bytearray()
        self._ended = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        received = inflated = 0
        while data := await self._content.readany():
            received += len(data)
            self._check(received)
            if self._inflater is None:
                yield data
                continue
            for piece in self._inflater.feed(data):
                inflated += len(piece)
                self._check(inflated)
                if piece:
                    yield piece
                # a few bytes can inflate to many: let other tasks run
                await asyncio.sleep(0)
        if self._inflater is not None:
            self._inflater.close()

    async def read(self, size: int) -> bytes:
        if not self._buffer:
            await self._fill()
        return self._take(min(size, len(self._buffer)))

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        most = max_line_length or LONGEST_LINE
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > most:
                break
            if not await self._fill():
                return self._take(searched)
        if not 0 <= end <= most:
            raise UploadError(f"a line of the form outside its fields is longer than {most} bytes")
        return self._take(end + 1)

    def unread_data(self, data: bytes) -> None:
        self._buffer[:0] = data

    def at_eof(self) -> bool:
        return self._ended and not self._buffer

    async def _fill(self) -> bool:
        piece = await anext(self._pieces, b"")
        self._buffer += piece
        self._ended = not piece
        return bool(piece)

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    def _check(self, size: int) -> None:
        if size > self._most:
            raise UploadTooLarge(self._limit)
