"""Remove metadata from a source that is kept, without touching a pixel.

It keeps all that decides how the picture looks: colour profile, gamma, transparency and animation, and the
orientation unless it is upright, in a minimal EXIF.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from resizer.containers import avif, gif, png_chunks
from resizer.containers.formats import Format

#: EXIF orientations; those from FIRST_SIDEWAYS on swap width and height
UPRIGHT: Final = 1
ORIENTATIONS: Final = range(1, 9)
FIRST_SIDEWAYS: Final = 5

# JPEG
SOS, EOI, COM = 0xDA, 0xD9, 0xFE
APP0, APP15 = 0xE0, 0xEF
BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD8), EOI})
#: in a scan, 0xFF before a zero is data, and restart markers belong to it
SCAN_END: Final = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
SEGMENTS_KEPT: Final = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
JFIF_BARE: Final = 14  # bytes of a JFIF segment without its thumbnail

# PNG
PNG_KEPT: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD hIST sPLT pHYs "
    b"acTL fcTL fdAT".split()
)

# BMP
BMP_INFO: Final = 40  # bytes of a header with width and height in 32 bits
BMP_PLAIN: Final = frozenset({0, 3, 6})  # uncompressed, with or without masks

# WebP
WEBP_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH"})
EXIF_FLAG, XMP_FLAG, ALPHA_FLAG = 0x08, 0x04, 0x10
WEBP_FLAGS: Final = 20  # offset of the flags of VP8X


def strip(data: bytes, kind: Format, *, orientation: int = UPRIGHT) -> bytes | None:
    """Return the file without its metadata, or None if that is not possible."""
    stripped = None  # also for a TIFF, whose metadata is spread over the file
    with suppress(struct.error, IndexError, ValueError):
        match kind:
            case Format.JPEG:
                stripped = b"".join(_jpeg(data, orientation))
            case Format.PNG:
                stripped = b"".join(_png(data, orientation))
            case Format.WEBP:
                stripped = _webp(data, orientation)
            case Format.GIF:
                stripped = gif.strip(data)
            case Format.AVIF:
                stripped = avif.strip(data)
            case Format.BMP:
                stripped = data[: _bmp_end(data)]
    return stripped


def webp_extent(data: bytes) -> tuple[int, int, int] | None:
    """Return width, height and number of frames; None if no chunk states them."""
    width = height = 0
    frames = 0
    for name, start, end in _riff(data):
        body = data[start : min(end, start + 10)].ljust(10, b"\0")
        if name == b"ANMF":
            frames += 1
        elif width:
            continue
        elif name == b"VP8X":
            width = int.from_bytes(body[4:7], "little") + 1
            height = int.from_bytes(body[7:10], "little") + 1
        elif name == b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        elif name == b"VP8L":
            bits = int.from_bytes(body[1:5], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (width, height, max(frames, 1)) if width else None


def webp_with_alpha(data: bytes) -> bytes:
    """Set the flag of transparency in an animation.

    libwebp crops frames to their visible part, and omits the flag if all of that is opaque.
    """
    if data[12:16] != b"VP8X":
        return data
    return data[:WEBP_FLAGS] + bytes([data[WEBP_FLAGS] | ALPHA_FLAG]) + data[WEBP_FLAGS + 1 :]


def _orientation_tiff(orientation: int) -> bytes:
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _jpeg(data: bytes, orientation: int) -> Iterator[bytes]:
    yield data[:2]
    turned = orientation != UPRIGHT
    for marker, body, scan in _segments(data):
        if turned and marker != APP0:
            exif = b"Exif\0\0" + _orientation_tiff(orientation)
            yield b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
            turned = False
        if marker == COM or APP0 <= marker <= APP15:
            if not body.startswith(SEGMENTS_KEPT.get(marker, b"\0none")):
                continue
            # Without the thumbnail that may follow.
            bare = body[: JFIF_BARE - 2] + b"\0\0" if marker == APP0 and len(body) > JFIF_BARE else body
            yield bytes((0xFF, marker)) + struct.pack(">H", len(bare) + 2) + bare
        elif marker in BARE_MARKERS:
            yield bytes((0xFF, marker))
        else:
            yield bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + scan


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each marker with its body, and with the scan if one follows; ends with the image."""
    at, marker = 2, 0
    while marker != EOI:
        start = at
        while data[at] == 0xFF:  # noqa: PLR2004  begins a marker, also repeatedly
            at += 1
        if at == start:
            raise ValueError("no marker")
        marker, at = data[at], at + 1
        if marker in BARE_MARKERS:
            yield marker, b"", b""
            continue
        (length,) = struct.unpack_from(">H", data, at)
        body, at = data[at + 2 : at + length], at + length
        end = at
        if marker == SOS:
            found = SCAN_END.search(data, at)
            if found is None:
                raise ValueError("no end")
            end = found.start()
        yield marker, body, data[at:end]
        at = end


def _png(data: bytes, orientation: int) -> Iterator[bytes]:
    yield png_chunks.MAGIC
    name = b""
    for name, at, end in png_chunks.chunks(data):
        if name in PNG_KEPT:  # not every critical chunk: readers skip unknown ones
            yield data[at:end]
        if name == b"IHDR" and orientation != UPRIGHT:
            exif = b"eXIf" + _orientation_tiff(orientation)
            yield struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    if name != b"IEND":
        raise ValueError("cut off")


def _bmp_end(data: bytes) -> int:
    """Return the end of the pixels; a BMP has no metadata, but other data may follow."""
    start, head = struct.unpack_from("<2I", data, 10)
    if head < BMP_INFO:
        raise ValueError("an old header")
    width, height, _, depth, packing = struct.unpack_from("<2i2HI", data, 18)
    if packing not in BMP_PLAIN:
        raise ValueError("packed")
    row = (width * depth + 31) // 32 * 4
    return int(start + row * abs(height))


def _riff(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk's body, up to the end that the file states."""
    limit = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    at = 12
    while at + 8 <= limit:
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, at + 8 + length
        at += 8 + length + length % 2


def _webp(data: bytes, orientation: int) -> bytes | None:
    chunks: list[tuple[bytes, bytes]] = []
    for name, start, end in _riff(data):
        if end > len(data):
            return None
        if name in WEBP_KEPT:
            chunks.append((name, data[start:end]))
    if not chunks:
        return None
    if chunks[0][0] == b"VP8X":
        flags = chunks[0][1][0] & ~(EXIF_FLAG | XMP_FLAG)
        if orientation != UPRIGHT:
            flags |= EXIF_FLAG
            chunks.append((b"EXIF", _orientation_tiff(orientation)))
        chunks[0] = (b"VP8X", bytes([flags]) + chunks[0][1][1:])
    body = b"".join(
        name + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2) for name, chunk in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
