"""Walk the boxes of AVIF and HEIF files: ISO base media, ISO/IEC 14496-12 and 23008-12.

Functions raise `ValueError`, `IndexError` or `struct.error` for a malformed file unless they say otherwise.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

#: versions of an item's entry from which it has a type, and from which its number takes 32 bits
TYPED: Final = 2
WIDE_NUMBERS: Final = 3
WIDE_LOCATIONS: Final = 2  # version of iloc from which item numbers take 32 bits
IN_FILE: Final = 0  # offsets count from the start of the file, not of the box idat
#: brands of files that are played as a sequence
SEQUENCES: Final = frozenset({b"avis", b"msf1", b"hevc", b"hevx"})
VISUAL_ENTRY: Final = 78  # bytes of a track's description before its boxes
TWO_BYTES: Final = 1  # flag: the number of a property takes two bytes
NUMBER: Final = {1: 0x7F, 2: 0x7FFF}  # its bits; the highest one marks an essential property


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each box's body."""
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


def bodies(data: bytes, start: int, end: int, name: bytes, *further: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the boxes of that name, or of the boxes within them on a path of names."""
    for found, first, last in walk(data, start, end):
        if found == name:
            yield from bodies(data, first, last, *further) if further else [(first, last)]


def layout(data: bytes) -> tuple[dict[int, bytes], list[tuple[int, int, int]]]:
    """Return each item's type by number; and number, offset and length of the pieces in the file itself."""
    kinds: dict[int, bytes] = {}
    locations: list[tuple[int, int, int]] = []
    for start, end in bodies(data, 0, len(data), b"meta"):
        for inner, first, last in walk(data, start + 4, end):
            if inner == b"iinf":
                kinds |= _items(data, first, last)
            elif inner == b"iloc":
                pieces = _locations(data, first)
                locations += [(item, at, size) for item, method, at, size in pieces if method == IN_FILE]
    return kinds, locations


def primary_kind(data: bytes) -> bytes | None:
    """Return the type of the primary item; None if it cannot be read. Raises nothing."""
    with suppress(ValueError, IndexError, struct.error):
        return layout(data)[0].get(_primary(data))
    return None


def item_texts(data: bytes) -> Iterator[bytes]:
    """Yield type, name and content type of each item, joined, as far as they can be read. Raises nothing."""
    with suppress(ValueError, IndexError, struct.error):
        for start, end in bodies(data, 0, len(data), b"meta"):
            for first, last in bodies(data, start + 4, end, b"iinf"):
                for name, at, stop in walk(data, first + (6 if data[first] == 0 else 8), last):
                    if name == b"infe" and data[at] >= TYPED:
                        # after version, flags, number and protection
                        yield data[at + (10 if data[at] >= WIDE_NUMBERS else 8) : stop]


def nclx(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer that the container states for the primary item. Raises nothing."""
    with suppress(ValueError, IndexError, struct.error):
        found = _of_track(data) if data[8:12] in SEQUENCES else _of_item(data, _primary(data))
        for start, end in found:
            if data[start : start + 4] == b"nclx" and end - start >= 8:  # noqa: PLR2004  bytes of all three
                primaries, transfer = struct.unpack_from(">HH", data, start + 4)
                return primaries, transfer
    return None


def _of_track(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the colour boxes of each track."""
    for start, end in bodies(data, 0, len(data), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        # after version, flags and the number of entries
        for _, first, last in walk(data, start + 8, end):
            yield from bodies(data, first + VISUAL_ENTRY, last, b"colr")


def _of_item(data: bytes, item: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the colour boxes of an item."""
    for start, end in bodies(data, 0, len(data), b"meta"):
        for first, last in bodies(data, start + 4, end, b"iprp"):
            numbers = {n for at, _ in bodies(data, first, last, b"ipma") for n in _properties(data, at, item)}
            for at, until in bodies(data, first, last, b"ipco"):
                for number, (name, begin, finish) in enumerate(walk(data, at, until), 1):
                    if name == b"colr" and number in numbers:
                        yield begin, finish


def _primary(data: bytes) -> int:
    for start, end in bodies(data, 0, len(data), b"meta"):
        for at, _ in bodies(data, start + 4, end, b"pitm"):
            return int.from_bytes(data[at + 4 : at + (8 if data[at] else 6)])
    raise ValueError("no primary item")


def _properties(data: bytes, at: int, wanted: int) -> Iterator[int]:
    """Yield the numbers of an item's properties."""
    item_size = 4 if data[at] else 2
    number_size = 2 if data[at + 3] & TWO_BYTES else 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(count):
        item = int.from_bytes(data[at : at + item_size])
        many = data[at + item_size]
        at += item_size + 1
        if item == wanted:
            for place in range(at, at + many * number_size, number_size):
                yield int.from_bytes(data[place : place + number_size]) & NUMBER[number_size]
        at += many * number_size


def _items(data: bytes, start: int, end: int) -> dict[int, bytes]:
    kinds = {}
    # After the version, and the number of entries, which has 16 bits in version 0.
    for name, at, _ in walk(data, start + (6 if data[start] == 0 else 8), end):
        if name == b"infe" and data[at] >= TYPED:
            number, kind = struct.unpack_from(
                ">I2x4s" if data[at] >= WIDE_NUMBERS else ">H2x4s", data, at + 4
            )
            kinds[number] = kind
    return kinds


def _locations(data: bytes, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, method, offset and length of each piece of an item."""
    version = data[start]
    sizes = data[start + 4 : start + 6]
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version else 0
    number_size = 4 if version >= WIDE_LOCATIONS else 2
    at = start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at])

    for _ in range(number(number_size)):
        item = number(number_size)
        method = number(2) & 15 if version else 0
        number(2)  # data reference: always this file
        base = number(base_size)
        for _ in range(number(2)):
            if at > len(data):
                raise ValueError("cut off")
            number(index_size)
            offset, length = number(offset_size), number(length_size)
            yield item, method, base + offset, length
