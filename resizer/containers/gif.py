"""The container of a GIF: measured, stripped and put together without decoding a pixel."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

HEADER: Final = 13  # bytes: signature and screen descriptor
DESCRIPTOR: Final = 10  # bytes of an image's head, its separator counted
SEPARATOR: Final = 0x2C
EXTENSION: Final = 0x21
TRAILER: Final = 0x3B
GRAPHIC_CONTROL: Final = 0xF9
APPLICATION: Final = 0xFF
KEEP: Final = 1
CLEAR: Final = 2
LONGEST: Final = 65535  # hundredths of a second

#: how often it is played, and the colour profile; XMP is one too
APPLICATIONS_KEPT: Final = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


@dataclass(frozen=True, slots=True)
class Block:
    """An image or an extension; `label` tells which one."""

    label: int
    start: int
    end: int
    whole: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One picture on its way into a GIF."""

    #: a GIF of its own with nothing but this picture
    still: bytes
    left: int
    top: int
    #: milliseconds
    duration: float
    #: `KEEP` or `CLEAR`: what becomes of its place when the next one comes
    disposal: int


def measure(data: bytes) -> tuple[int, int, int]:
    """Return width and height that hold every frame, and the number of frames."""
    width, height = struct.unpack_from("<HH", data.ljust(HEADER, b"\0"), 6)
    frames = 0
    for block in _blocks(data):
        if block.label == SEPARATOR and len(data) >= block.start + DESCRIPTOR:
            left, top, wide, high = struct.unpack_from("<4H", data, block.start + 1)
            width, height = max(width, left + wide), max(height, top + high)
            frames += 1
    return width, height, max(frames, 1)


def strip(data: bytes) -> bytes | None:
    """Leave out comments, XMP and whatever nobody shows or follows the end; None where it is odd."""
    parts = [data[: _table_end(data, HEADER, data[10])]]
    for block in _blocks(data):
        if not block.whole:
            return None
        if data[block.start] == EXTENSION and block.label != GRAPHIC_CONTROL:
            named = data[block.start + 3 : block.start + 14]
            if block.label != APPLICATION or named not in APPLICATIONS_KEPT:
                continue
        parts.append(data[block.start : block.end])
    return b"".join((*parts, bytes([TRAILER])))


def assemble(width: int, height: int, *, loop: int | None, frames: Iterable[Frame]) -> bytes:
    """Put one GIF together; `loop` is the number as it stands in the file, None for none."""
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x70, 0, 0)]
    if loop is not None:
        parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0")
    for frame in frames:
        parts.extend(_placed(frame))
    return b"".join((*parts, bytes([TRAILER])))


def _placed(frame: Frame) -> Iterator[bytes]:
    still, control = frame.still, 0
    flags = still[10]
    table = still[HEADER : _table_end(still, HEADER, flags)]
    transparent = 0
    for block in _blocks(still):
        if block.label == GRAPHIC_CONTROL:
            control, transparent = still[block.start + 3] & 1, still[block.start + 6]
        elif block.label == SEPARATOR:
            hundredths = min(round(frame.duration / 10), LONGEST)
            yield struct.pack(
                "<BBBBHBB",
                EXTENSION,
                GRAPHIC_CONTROL,
                4,
                frame.disposal << 2 | control,
                hundredths,
                transparent,
                0,
            )
            wide, high = struct.unpack_from("<HH", still, block.start + 5)
            # its global table becomes a local one
            local = flags & 0x87
            yield struct.pack("<BHHHHB", SEPARATOR, frame.left, frame.top, wide, high, local)
            yield table
            yield still[block.start + DESCRIPTOR : block.end]


def _blocks(data: bytes) -> Iterator[Block]:
    if len(data) < HEADER:
        return
    at, size = _table_end(data, HEADER, data[10]), len(data)
    while at < size and data[at] != TRAILER:
        start, first = at, data[at]
        if first == EXTENSION and at + 1 < size:
            label, at = data[at + 1], at + 2
        elif first == SEPARATOR and at + DESCRIPTOR <= size:
            # then comes one byte of the codec's own
            label, at = SEPARATOR, _table_end(data, at + DESCRIPTOR, data[at + 9]) + 1
        else:
            # readers pass over bytes between blocks
            at += 1
            continue
        while at < size and data[at]:
            at += data[at] + 1
        at += 1
        yield Block(label, start, min(at, size), whole=at <= size)


def _table_end(data: bytes, at: int, flags: int) -> int:
    size = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    return min(at + size, len(data))
