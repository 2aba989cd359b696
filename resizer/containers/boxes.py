"""Walk the boxes of AVIF and HEIF files: ISO base media, ISO/IEC 14496-12 and 23008-12.

Unless a function says otherwise it raises `ValueError`, `IndexError` or `struct.error` for an odd file.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

#: version of an item's entry from which on it has a type
TYPED: Final = 2
#: version of an item's entry from which on its number takes 32 bits
WIDE_NUMBERS: Final = 3
WIDE_PLACES: Final = 2  # likewise of the table of places
#: how the offset of an item's piece is meant: from the start of the file, or else of the box idat
IN_FILE: Final = 0
#: brands of files that are shown as a sequence
SEQUENCES: Final = frozenset({b"avis", b"msf1", b"hevc", b"hevx"})
VISUAL_ENTRY: Final = 78  # bytes of a track's description before its boxes
TWO_BYTES: Final = 1  # flag: a property's number takes two
NUMBER: Final = {1: 0x7F, 2: 0x7FFF}  # bits of it; the highest says whether it is essential


def walk(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
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


def bodies(data: bytes, start: int, end: int, name: bytes, *further: bytes) -> Iterator[tuple[int, int]]:
    """Give start and end of the boxes of that name, or of what is in them by the further names."""
    for found, first, last in walk(data, start, end):
        if found == name:
            yield from bodies(data, first, last, *further) if further else [(first, last)]


def layout(data: bytes) -> tuple[dict[int, bytes], list[tuple[int, int, int]]]:
    """Return each item's type, and number, offset and length of those that are stored in the file itself."""
    kinds: dict[int, bytes] = {}
    places: list[tuple[int, int, int]] = []
    for start, end in bodies(data, 0, len(data), b"meta"):
        for inner, first, last in walk(data, start + 4, end):
            if inner == b"iinf":
                kinds |= _items(data, first, last)
            elif inner == b"iloc":
                places += [
                    (item, at, length)
                    for item, method, at, length in _places(data, first)
                    if method == IN_FILE
                ]
    return kinds, places


def primary_kind(data: bytes) -> bytes | None:
    """Return the type of the item that is shown; None where that cannot be read. Raises nothing."""
    with suppress(ValueError, IndexError, struct.error):
        return layout(data)[0].get(_primary(data))
    return None


def item_texts(data: bytes) -> Iterator[bytes]:
    """Give the type of each item with its name and content type, as far as they can be read."""
    with suppress(ValueError, IndexError, struct.error):
        for start, end in bodies(data, 0, len(data), b"meta"):
            for first, last in bodies(data, start + 4, end, b"iinf"):
                for name, at, stop in walk(data, first + (6 if data[first] == 0 else 8), last):
                    if name == b"infe" and data[at] >= TYPED:
                        # behind version and flags, its number, and whether it is protected
                        yield data[at + (10 if data[at] >= WIDE_NUMBERS else 8) : stop]


def nclx(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer as the container tells them for what is shown. Raises nothing."""
    with suppress(ValueError, IndexError, struct.error):
        found = _of_track(data) if data[8:12] in SEQUENCES else _of_item(data, _primary(data))
        for start, end in found:
            if data[start : start + 4] == b"nclx" and end - start >= 8:  # noqa: PLR2004  its name and both
                primaries, transfer = struct.unpack_from(">HH", data, start + 4)
                return primaries, transfer
    return None


def _of_track(data: bytes) -> Iterator[tuple[int, int]]:
    """Give what describes the colours of each track."""
    for start, end in bodies(data, 0, len(data), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        # after version, flags and the number of entries
        for _, first, last in walk(data, start + 8, end):
            yield from bodies(data, first + VISUAL_ENTRY, last, b"colr")


def _of_item(data: bytes, item: int) -> Iterator[tuple[int, int]]:
    """Give what describes the colours of an item."""
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
    raise ValueError("no item is shown")


def _properties(data: bytes, at: int, wanted: int) -> Iterator[int]:
    """Give the numbers of an item's properties."""
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
    # a version, and the number of entries, which has 16 bits in the first version
    for name, at, _ in walk(data, start + (6 if data[start] == 0 else 8), end):
        if name == b"infe" and data[at] >= TYPED:
            number, kind = struct.unpack_from(
                ">I2x4s" if data[at] >= WIDE_NUMBERS else ">H2x4s", data, at + 4
            )
            kinds[number] = kind
    return kinds


def _places(data: bytes, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Give number, method, offset and length of each piece of an item."""
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
            yield item, method, base + offset, length
