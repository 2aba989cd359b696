"""What an AV1 stream says of its own size, which its container may be silent or lie about.

After the AV1 bitstream specification, sections 5.3 (OBU), 5.5 (sequence header) and 4.10 (descriptors).
"""

from collections.abc import Iterator
from typing import Final

SEQUENCE_HEADER: Final = 1
HAS_EXTENSION, HAS_SIZE = 0x04, 0x02
#: bytes up to the size, with 32 operating points and all that may be said of them
LONGEST_HEADER: Final = 512
#: levels from which on a tier is told
TIERED: Final = 7


def extents(stream: bytes) -> Iterator[tuple[int, int]]:
    """Give the largest width and height of a frame, as each sequence header says; nothing for no stream."""
    at = 0
    while at < len(stream):
        head = stream[at]
        at += 2 if head & HAS_EXTENSION else 1
        size = len(stream) - at
        if head & HAS_SIZE:
            size, at = _leb128(stream, at)
        if size > len(stream) - at:
            return
        if head >> 3 & 15 == SEQUENCE_HEADER:
            yield _extent(_Bits(stream[at : at + min(size, LONGEST_HEADER)]))
        at += size


class _Bits:
    """Numbers of so many bits, one after the other; zeros behind the end, as a decoder would refuse it."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def __call__(self, count: int) -> int:
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while self._left > 0 and not self(1):
            zeros += 1
        self(min(zeros, 32))


def _extent(bits: _Bits) -> tuple[int, int]:
    bits(4)  # profile, whether it is a still
    if bits(1):  # the short header of a still
        bits(5)
    else:
        delay = _timing(bits)
        delayed = bits(1)
        for _ in range(bits(5) + 1):
            bits(12)
            if bits(5) > TIERED:
                bits(1)
            if delay and bits(1):
                bits(2 * delay + 1)
            if delayed and bits(1):
                bits(4)
    width_bits, height_bits = bits(4) + 1, bits(4) + 1
    return bits(width_bits) + 1, bits(height_bits) + 1


def _timing(bits: _Bits) -> int:
    """Pass over the timing; returns the bits of a buffer's delay, 0 where there is no decoder model."""
    if not bits(1):
        return 0
    bits(64)
    if bits(1):
        bits.skip_uvlc()
    if not bits(1):
        return 0
    delay = bits(5) + 1
    bits(32 + 5 + 5)
    return delay


def _leb128(stream: bytes, at: int) -> tuple[int, int]:
    """Return a number of at most eight bytes, and what follows it."""
    number = 0
    for index, byte in enumerate(stream[at : at + 8]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004  the last one
            return number, at + index + 1
    return len(stream), at  # never ends: no stream
