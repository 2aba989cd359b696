"""Remove chunks of a PNG that are damaged and that browsers skip, and read those that state its colours.

By the PNG specification, third edition: a chunk whose name begins with a lower-case letter is ancillary.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
ANIMATION: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
COLOURS: Final = frozenset({b"cICP", b"sRGB", b"gAMA", b"cHRM"})
#: bytes of ancillary chunks of fixed size
SIZES: Final = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"pHYs": 9, b"acTL": 8, b"fcTL": 26}
ANCILLARY: Final = 0x20  # the bit of the name's first letter
CICP, CHRM, GAMA = struct.Struct("4B"), struct.Struct(">8I"), struct.Struct(">I")
UNIT: Final = 100_000  # of gAMA and cHRM, for 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """What the chunks before the pixels state; None or false if they are absent or invalid."""

    #: primaries and transfer, numbered as in ITU-T H.273
    cicp: tuple[int, int] | None
    srgb: bool
    #: exponent of the encoder, mostly 0.45455
    gamma: float | None
    #: x, y of white, red, green, blue
    chromaticities: tuple[float, ...] | None


def without_damaged(data: bytes) -> bytes:
    """Remove ancillary chunks of wrong checksum or size; a damaged animation becomes its first picture."""
    damaged = [
        (name, at)
        for name, at, end in chunks(data)
        if name[0] & ANCILLARY and not _is_whole(data, name, at, end)
    ]
    if not damaged:
        return data
    still = any(name in ANIMATION for name, _ in damaged)
    places = {at for _, at in damaged}
    parts, copied = [], 0
    for name, at, end in chunks(data):
        if at in places or (still and name in ANIMATION):
            parts.append(data[copied:at])
            copied = end
    return b"".join([*parts, data[copied:]])


def colours(data: bytes) -> Colours:
    found: dict[bytes, bytes] = {}
    for name, at, end in chunks(data):
        if name == b"IDAT":
            break
        if name in COLOURS:
            found.setdefault(name, data[at + 8 : end - 4])
    gamma = _numbers(GAMA, found.get(b"gAMA"))
    points = _numbers(CHRM, found.get(b"cHRM"))
    return Colours(
        cicp=_cicp(found.get(b"cICP")),
        srgb=b"sRGB" in found,
        gamma=gamma[0] / UNIT if gamma and gamma[0] else None,
        chromaticities=tuple(number / UNIT for number in points) if points else None,
    )


def _is_whole(data: bytes, name: bytes, at: int, end: int) -> bool:
    sized = SIZES.get(name, end - at - 12) == end - at - 12
    return sized and zlib.crc32(data[at + 4 : end - 4]).to_bytes(4) == data[end - 4 : end]


def _cicp(body: bytes | None) -> tuple[int, int] | None:
    numbers = _numbers(CICP, body)
    if numbers is None:
        return None
    primaries, transfer, matrix, full_range = numbers
    # A PNG contains full-range RGB, so browsers skip the chunk if it states anything else.
    return (primaries, transfer) if (matrix, full_range) == (0, 1) else None


def _numbers(form: struct.Struct, body: bytes | None) -> tuple[int, ...] | None:
    return form.unpack(body) if body is not None and len(body) == form.size else None


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk, up to the last one or to one that is cut off."""
    at, name = len(MAGIC), b""
    while at + 12 <= len(data) and name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield name, at, end
        at = end
