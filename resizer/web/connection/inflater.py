"""Undo the Content-Encoding of a body, step by step, so that a bomb stays small."""

import zlib
from collections.abc import Iterator

from resizer.errors import UnsupportedEncoding, UploadError

#: bytes that are decompressed at once
PIECE = 262_144
#: low half of the first byte of what has zlib's header (RFC 1950: the method is deflate)
ZLIB = 8


class Inflater:
    """gzip (of any number of members) or deflate, undone step by step."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS) if gzip else None
        self._empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what this decompresses to, at most `PIECE` bytes at once."""
        if self._stream is None:
            # some send deflate without the zlib header that belongs to it
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == ZLIB else -zlib.MAX_WBITS)
        self._empty = False
        piece = b""
        # the decompressor may hold more than it was allowed to give
        while data or len(piece) == PIECE:
            if self._stream.eof:
                data = self._next_member(data)
                if not data:
                    return
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as error:
                raise UploadError("the body is not what its Content-Encoding says") from error
            data = self._stream.unused_data or self._stream.unconsumed_tail
            yield piece

    def close(self) -> None:
        """Check that the end was there."""
        if not self._empty and not (self._stream and self._stream.eof):
            raise UploadError("the compressed body is cut off; send it again, whole")

    def _next_member(self, data: bytes) -> bytes:
        data = data.lstrip(b"\0") if self._gzip else b""  # as gzip pads and reads them
        if data:
            self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        return data


def inflater_for(encoding: str) -> Inflater | None:
    """Return what undoes this Content-Encoding, None where there is none. Raises `UnsupportedEncoding`."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Inflater(gzip=True)
        case "deflate":
            return Inflater(gzip=False)
    raise UnsupportedEncoding(encoding)
