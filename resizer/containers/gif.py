"""Measure, strip and assemble GIFs without decoding pixels."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

HEADER: Final = 13  # bytes: signature and screen descriptor
DESCRIPTOR: Final = 10  # bytes of an image's header with its separator
SEPARATOR: Final = 0x2C
EXTENSION: Final = 0x21
TRAILER: Final = 0x3B
GRAPHIC_CONTROL: Final = 0xF9
APPLICATION: Final = 0xFF
KEEP: Final = 1  # disposal: leave the frame
CLEAR: Final = 2  # disposal: restore the background
LONGEST: Final = 65535  # hundredths of a second

#: repetitions and the colour profile; XMP is an application extension, too
APPLICATIONS_KEPT: Final = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


@dataclass(frozen=True, slots=True)
class Block:
    """An image or an extension, by its label."""

    label: int
    start: int
    end: int
    whole: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One frame to be written into a GIF."""

    #: a GIF of this picture alone
    still: bytes
    left: int
    top: int
    #: milliseconds
    duration: float
    #: `KEEP` or `CLEAR`
    disposal: int


def measure(data: bytes) -> tuple[int, int, int]:
    """Return width and height that contain every frame, and the number of frames."""
    width, height = struct.unpack_from("<HH", data.ljust(HEADER, b"\0"), 6)
    frames = 0
    for block in _blocks(data):
        if block.label == SEPARATOR and len(data) >= block.start + DESCRIPTOR:
            left, top, wide, high = struct.unpack_from("<4H", data, block.start + 1)
            width, height = max(width, left + wide), max(height, top + high)
            frames += 1
    return width, height, max(frames, 1)


def strip(data: bytes) -> bytes | None:
    """Remove comments, XMP and bytes that nothing shows; returns None for a truncated file."""
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
    """Assemble a GIF; `loop` is the number in the file, None for none."""
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x70, 0, 0)]
    if loop is not None:
        parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0")
    for frame in frames:
        parts.extend(_blocks_of(frame))
    return b"".join((*parts, bytes([TRAILER])))


def _blocks_of(frame: Frame) -> Iterator[bytes]:
    still, control = frame.still, 0
    flags = still[10]
    table = still[HEADER : _table_end(still, HEADER, flags)]
    transparent = 0
    for block in _blocks(still):
        if block.label == GRAPHIC_CONTROL:
            control, transparent = still[block.start + 3] & 1, still[block.start + 6]
        elif block.label == SEPARATOR:
            hundredths = min(round(frame.duration / 10), LONGEST)
            flags_of_frame = frame.disposal << 2 | control
            yield struct.pack(
                "<4BH2B", EXTENSION, GRAPHIC_CONTROL, 4, flags_of_frame, hundredths, transparent, 0
            )
            wide, high = struct.unpack_from("<HH", still, block.start + 5)
            # Its global colour table becomes a local one.
            yield struct.pack("<B4HB", SEPARATOR, frame.left, frame.top, wide, high, flags & 0x87)
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
            # One byte follows that belongs to the codec.
            label, at = SEPARATOR, _table_end(data, at + DESCRIPTOR, data[at + 9]) + 1
        else:
            # Readers skip bytes between blocks.
            at += 1
            continue
        while at < size and data[at]:
            at += data[at] + 1
        at += 1
        yield Block(label, start, min(at, size), whole=at <= size)


def _table_end(data: bytes, at: int, flags: int) -> int:
    size = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    return min(at + size, len(data))
