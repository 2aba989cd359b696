"""Find the metadata in the container of an AVIF and overwrite it where it stands.

Nothing moves, so that every offset in the file stays right; what follows the last box is cut off.
"""

import struct
from collections.abc import Iterator
from typing import Final

#: an EXIF without a tag: decoders refuse an image whose EXIF has no TIFF header
EMPTY_EXIF: Final = b"\0\0\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
#: top-level boxes that make up an image or a sequence of them; sidx and the like only help to stream it
BOXES_KEPT: Final = frozenset({b"ftyp", b"meta", b"moov", b"mdat", b"moof"})
#: version of an item's entry from which on it has a type
TYPED: Final = 2
#: version of an item's entry from which on its number takes 32 bits
WIDE_NUMBERS: Final = 3
WIDE_PLACES: Final = 2  # likewise of the table of places


def strip(data: bytes) -> bytes:
    """Blank EXIF, XMP and unknown boxes; raises `ValueError`, `IndexError`, `struct.error` if odd."""
    data = data[: _end(data)]
    blanked = bytearray(data)
    for name, start, end in _boxes(data, 0, len(data)):
        if name not in BOXES_KEPT:
            blanked[start:end] = bytes(end - start)
    kinds, places = _layout(data)
    if any(blanked[at : at + length] != data[at : at + length] for _, at, length in places):
        raise ValueError("an item in an unknown box")
    for item, at, length in places:
        if at + length > len(data):
            raise ValueError("beyond the end")
        if kinds.get(item) == b"Exif":
            blanked[at : at + length] = EMPTY_EXIF[:length].ljust(length, b"\0")
        elif kinds.get(item) == b"mime":
            blanked[at : at + length] = b" " * length
    return bytes(blanked)


def _layout(data: bytes) -> tuple[dict[int, bytes], list[tuple[int, int, int]]]:
    """Return the type of each item, and number, offset and length of each that stands in the file itself."""
    kinds: dict[int, bytes] = {}
    places: list[tuple[int, int, int]] = []
    for name, start, end in _boxes(data, 0, len(data)):
        if name != b"meta":
            continue
        for inner, first, last in _boxes(data, start + 4, end):
            if inner == b"iinf":
                kinds |= _items(data, first, last)
            elif inner == b"iloc":
                places += _places(data, first)
    return kinds, places


def _end(data: bytes) -> int:
    """Return where the last box that is known ends."""
    at = end = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        size = size or len(data) - at
        whole = 8 <= size <= len(data) - at  # noqa: PLR2004  a head is no smaller
        if name in BOXES_KEPT and not whole:
            raise ValueError("cut off")
        if not whole:
            break  # no box: something that was hung on
        at += size
        end = at if name in BOXES_KEPT else end
    return end


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give name, start and end of each box's body."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        size = size or end - at
        if size < head or at + size > end:
            raise ValueError("a box beyond its parent")
        yield name, at + head, at + size
        at += size


def _items(data: bytes, start: int, end: int) -> dict[int, bytes]:
    kinds = {}
    # a version, and the number of entries, which has 16 bits in the first version
    for name, at, _ in _boxes(data, start + (6 if data[start] == 0 else 8), end):
        if name == b"infe" and data[at] >= TYPED:
            number, kind = struct.unpack_from(
                ">I2x4s" if data[at] >= WIDE_NUMBERS else ">H2x4s", data, at + 4
            )
            kinds[number] = kind
    return kinds


def _places(data: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Give number, offset and length of each item that stands in the file itself."""
    version = data[start]
    sizes = data[start + 4 : start + 6]
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version else 0
    number_size = 4 if version >= WIDE_PLACES else 2
    at = start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at])

    for _ in range(number(number_size)):
        item = number(number_size)
        method = number(2) & 15 if version else 0
        number(2)  # the file it is in: always this one
        base = number(base_size)
        for _ in range(number(2)):
            if at > len(data):
                raise ValueError("cut off")
            number(index_size)
            offset, length = number(offset_size), number(length_size)
            if method == 0:
                yield item, base + offset, length
