"""Read a request's body: its Content-Encoding undone, counted, and no more of it than allowed."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import StreamReader, hdrs, web

from resizer.errors import UploadError, UploadTooLarge
from resizer.web.connection.inflater import inflater_for

#: bytes of a line that belongs to the form itself: a boundary or a part's header
LONGEST_LINE = 8190


class Body:
    """What `aiohttp.MultipartReader` wants to read from, or else `pieces` of it.

    Reading raises `UploadTooLarge` beyond `most` bytes, sent or decoded, of which `limit` is told to the
    client; `UploadError` where the encoding is broken; and what aiohttp raises where the sending broke off.
    Raises `UnsupportedEncoding`.
    """

    def __init__(self, request: web.Request, *, most: int, limit: int) -> None:
        self._content: StreamReader = request.content
        self._inflater = inflater_for(request.headers.get(hdrs.CONTENT_ENCODING, ""))
        self._most = most
        self._limit = limit
        self._sent = 0
        self._decoded = 0
        self._pieces = self.pieces()
        self._buffer = bytearray()
        self._ended = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Go through the body as it comes."""
        while sent := await self._content.readany():
            self._sent += len(sent)
            self._check(self._sent)
            if self._inflater is None:
                yield sent
                continue
            for piece in self._inflater.feed(sent):
                self._decoded += len(piece)
                self._check(self._decoded)
                if piece:
                    yield piece
                # a little can decompress to much: others get their turn
                await asyncio.sleep(0)
        if self._inflater is not None:
            self._inflater.close()

    async def read(self, size: int) -> bytes:
        if not self._buffer:
            await self._more()
        return self._take(min(size, len(self._buffer)))

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        most = max_line_length or LONGEST_LINE
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > most:
                break
            if not await self._more():
                return self._take(searched)
        if not 0 <= end <= most:
            raise UploadError(f"a line of the form outside its fields is longer than {most} bytes")
        return self._take(end + 1)

    def unread_data(self, data: bytes) -> None:
        self._buffer[:0] = data

    def at_eof(self) -> bool:
        return self._ended and not self._buffer

    async def _more(self) -> bool:
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
