"""Remove metadata from an AVIF."""

import struct
from typing import Final

from resizer.containers import boxes

#: EXIF without tags; decoders refuse an image whose EXIF has no TIFF header
EMPTY_EXIF: Final = b"\0\0\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
#: top-level boxes of an image or a sequence of images; others, such as sidx, only help to stream it
BOXES_KEPT: Final = frozenset({b"ftyp", b"meta", b"moov", b"mdat", b"moof"})
#: boxes that begin with version, flags, and the times of creation and change of a sequence, track or medium
DATED: Final = ((b"moov", b"mvhd"), (b"moov", b"trak", b"tkhd"), (b"moov", b"trak", b"mdia", b"mdhd"))


def strip(data: bytes) -> bytes:
    """Blank EXIF, XMP, dates and unknown boxes, and cut off bytes behind the last box.

    Nothing moves, so that every offset in the file stays valid. Raises `ValueError`, `IndexError` or
    `struct.error` for a malformed file.
    """
    data = data[: _end(data)]
    blanked = bytearray(data)
    for name, start, end in boxes.walk(data, 0, len(data)):
        if name not in BOXES_KEPT:
            blanked[start:end] = bytes(end - start)
    kinds, places = boxes.layout(data)
    if any(blanked[at : at + length] != data[at : at + length] for _, at, length in places):
        raise ValueError("an item in an unknown box")
    for item, at, length in places:
        if at + length > len(data):
            raise ValueError("beyond the end")
        if kinds.get(item) == b"Exif":
            blanked[at : at + length] = EMPTY_EXIF[:length].ljust(length, b"\0")
        elif kinds.get(item) == b"mime":
            blanked[at : at + length] = b" " * length
    _blank_dates(data, blanked)
    return bytes(blanked)


def undated(data: bytes) -> bytes:
    """Blank the dates that an encoder writes into a sequence, so that the same image gives the same bytes.

    Raises `ValueError`, `IndexError` or `struct.error` for a malformed file.
    """
    blanked = bytearray(data)
    _blank_dates(data, blanked)
    return bytes(blanked)


def _blank_dates(data: bytes, blanked: bytearray) -> None:
    for path in DATED:
        for start, end in boxes.bodies(data, 0, len(data), *path):
            # Two dates, of 64 bits each from version 1 on.
            length = 16 if data[start] else 8
            if start + 4 + length > end:
                raise ValueError("cut off")
            blanked[start + 4 : start + 4 + length] = bytes(length)


def _end(data: bytes) -> int:
    """Return the end of the last known box."""
    at = end = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        size = size or len(data) - at
        whole = 8 <= size <= len(data) - at  # noqa: PLR2004  bytes of a header
        if name in BOXES_KEPT and not whole:
            raise ValueError("cut off")
        if not whole:
            break  # not a box: appended data
        at += size
        end = at if name in BOXES_KEPT else end
    return end
