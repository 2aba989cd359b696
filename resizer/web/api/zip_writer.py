"""Write a ZIP front to back, without any input or output of its own.

The standard library keeps half a kilobyte per entry, and writes the size of a stored entry behind it, where
programs that read from a pipe cannot find it.
"""

import struct
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

#: from these on, a number and the count of entries need 64-bit fields (PKWARE's APPNOTE, 4.4.1.4)
HUGE: Final = 0xFFFFFFFF
MANY: Final = 0xFFFF

STORED: Final = 0
DEFLATED: Final = 8
#: flags: names are UTF-8; sizes and checksum follow the content
UTF8: Final = 1 << 11
DESCRIBED: Final = 1 << 3
#: versions of the format a reader needs: 2.0, or 4.5 for 64 bits
PLAIN_VERSION: Final = 20
HUGE_VERSION: Final = 45
UNIX: Final = 3 << 8
#: a regular file, writable by its owner, readable by all
MODE: Final = 0o100644 << 16
#: bytes of the directory sent at once
PIECE: Final = 1 << 16

LOCAL: Final = struct.Struct("<4s5H3L2H")
DESCRIPTOR: Final = struct.Struct("<4s3L")
HUGE_DESCRIPTOR: Final = struct.Struct("<4sLQQ")
CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
HUGE_END: Final = struct.Struct("<4sQ2H2L4Q")
LOCATOR: Final = struct.Struct("<4sLQL")
END: Final = struct.Struct("<4s4H2LH")
TIME_EXTRA: Final = struct.Struct("<2HBl")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of the directory."""

    name: str
    #: offset of its header
    start: int
    #: bytes and CRC-32 of the content; 0 until they are known
    size: int = 0
    packed: int = 0
    checksum: int = 0
    deflated: bool = False

    @property
    def method(self) -> tuple[int, int]:
        return (UTF8 | DESCRIBED, DEFLATED) if self.deflated else (UTF8, STORED)


class ZipWriter:
    """Makes everything but the contents; keeps some 20 bytes per entry.

    It compresses the directory as it grows: names within an archive are much alike.
    """

    def __init__(self, *, modified: float, offset: int = 0) -> None:
        """Begin a ZIP after `offset` other bytes; `modified` is in seconds since the epoch."""
        self._dos, self._extra = _date(modified)
        self._position = offset
        self._entries = 0
        self._packer = zlib.compressobj(1)
        self._directory: deque[bytes] = deque()

    def stored(self, name: str, *, size: int, checksum: int) -> bytes:
        """Return the header of an uncompressed entry; `checksum` is the CRC-32 of its `size` bytes."""
        entry = Entry(name=name, start=self._position, size=size, packed=size, checksum=checksum)
        header = self._header(entry, huge=size >= HUGE)
        self._note(entry)
        self._position += len(header) + size
        return header

    async def deflated(self, name: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield a whole entry whose size is not known yet."""
        entry = Entry(name=name, start=self._position, deflated=True)
        header = self._header(entry, huge=False)
        yield header
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        size = packed_size = checksum = 0
        async for piece in pieces:
            size += len(piece)
            checksum = zlib.crc32(piece, checksum)
            if packed := packer.compress(piece):
                packed_size += len(packed)
                yield packed
        packed = packer.flush()
        packed_size += len(packed)
        # 64 bits only if needed, although the header could not say so: as Go and Java do
        form = HUGE_DESCRIPTOR if max(size, packed_size) >= HUGE else DESCRIPTOR
        yield packed + form.pack(b"PK\7\x08", checksum, packed_size, size)
        self._note(replace(entry, size=size, packed=packed_size, checksum=checksum))
        self._position += len(header) + packed_size + form.size

    def end(self) -> Iterator[bytes]:
        """Yield the directory, which ends the ZIP."""
        start = self._position
        self._directory.append(self._packer.flush())
        unpacker = zlib.decompressobj()
        while self._directory:
            rest = self._directory.popleft()
            while rest:
                piece = unpacker.decompress(rest, PIECE)
                rest = unpacker.unconsumed_tail
                self._position += len(piece)
                yield piece
        last = unpacker.flush()
        self._position += len(last)
        yield last
        end, size = self._position, self._position - start
        if self._entries >= MANY or start >= HUGE or size >= HUGE:
            counts = (self._entries, self._entries, size, start)
            version = (HUGE_VERSION | UNIX, HUGE_VERSION)
            yield HUGE_END.pack(b"PK\6\6", HUGE_END.size - 12, *version, 0, 0, *counts)
            yield LOCATOR.pack(b"PK\6\7", 0, end, 1)
        count = min(self._entries, MANY)
        yield END.pack(b"PK\5\6", 0, 0, count, count, min(size, HUGE), min(start, HUGE), 0)

    def _header(self, entry: Entry, *, huge: bool) -> bytes:
        name = entry.name.encode()
        extra = (_huge_extra(entry.size, entry.packed) if huge else b"") + self._extra
        return (
            LOCAL.pack(
                b"PK\3\4",
                HUGE_VERSION if huge else PLAIN_VERSION,
                *entry.method,
                *self._dos,
                entry.checksum,
                HUGE if huge else entry.packed,
                HUGE if huge else entry.size,
                len(name),
                len(extra),
            )
            + name
            + extra
        )

    def _note(self, entry: Entry) -> None:
        """Add an entry to the directory."""
        name = entry.name.encode()
        huge = [number for number in (entry.size, entry.packed, entry.start) if number >= HUGE]
        extra = (_huge_extra(*huge) if huge else b"") + self._extra
        version = HUGE_VERSION if huge else PLAIN_VERSION
        line = CENTRAL.pack(
            b"PK\1\2",
            version | UNIX,
            version,
            *entry.method,
            *self._dos,
            entry.checksum,
            min(entry.packed, HUGE),
            min(entry.size, HUGE),
            len(name),
            len(extra),
            *(0, 0, 0),  # no comment, one disk, no text
            MODE,
            min(entry.start, HUGE),
        )
        self._entries += 1
        if packed := self._packer.compress(line + name + extra):
            self._directory.append(packed)


def _huge_extra(*numbers: int) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def _date(seconds: float) -> tuple[tuple[int, int], bytes]:
    """Return time and date for MS-DOS, in UTC, and the extra field with the exact second."""
    at = datetime.fromtimestamp(seconds, UTC)
    year = min(max(at.year, 1980), 2107)
    dos = at.hour << 11 | at.minute << 5 | at.second // 2, (year - 1980) << 9 | at.month << 5 | at.day
    return dos, TIME_EXTRA.pack(0x5455, 5, 1, min(max(int(seconds), -(2**31)), 2**31 - 1))
