"""Decompress a body piece by piece, so that a decompression bomb stays small."""

import zlib
from collections.abc import Iterator

from resizer.errors import UnsupportedEncoding, UploadError

#: bytes decompressed at once
PIECE = 262_144
#: low half of the first byte of a zlib header (RFC 1950: method deflate)
ZLIB = 8


class Inflater:
    """Decompresses gzip (any number of members) or deflate."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS) if gzip else None
        self._empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decompressed data, at most `PIECE` bytes at once."""
        if self._stream is None:
            # some clients send deflate without its zlib header
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == ZLIB else -zlib.MAX_WBITS)
        self._empty = False
        piece = b""
        # a full piece means that the decompressor may hold more
        while data or len(piece) == PIECE:
            if self._stream.eof:
                data = self._next_member(data)
                if not data:
                    return
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as error:
                raise UploadError("the body does not match its Content-Encoding") from error
            data = self._stream.unused_data or self._stream.unconsumed_tail
            yield piece

    def close(self) -> None:
        """Check that the data was complete."""
        if not self._empty and not (self._stream and self._stream.eof):
            raise UploadError("the compressed body is cut off; send it again")

    def _next_member(self, data: bytes) -> bytes:
        data = data.lstrip(b"\0") if self._gzip else b""  # gzip allows padding with zeros
        if data:
            self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        return data


def inflater_for(encoding: str) -> Inflater | None:
    """Return the decompressor for a Content-Encoding, None for none. Raises `UnsupportedEncoding`."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Inflater(gzip=True)
        case "deflate":
            return Inflater(gzip=False)
    raise UnsupportedEncoding(encoding)
