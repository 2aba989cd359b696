"""Detect the encoding of a CSV, and refuse bytes that are not text."""

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from resizer.catalog.content import Content
from resizer.catalog.problems import Problems

CHUNK = 1 << 20  # bytes read at once
END_MARKS = 128  # bytes of 0x1A; CP/M filled a file's last block with them, and some exports still end in one

#: byte order mark, encoding of the file, codec of the bytes after the mark
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16-be"),
)
_UNMARKED = (b"", "utf-8", "utf-8")

_SIGNATURES = (
    (b"PK\x03\x04", "an Excel workbook (or another ZIP file)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF89a", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
)

# tab, LF, VT, FF and CR are text; end marks of 0x1A are removed before the check
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\n\v\f\r")
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"  # in Windows-1252

# A cell of the style `1, "a,b"`. RFC 4180 has no such quote: an opening one directly follows its delimiter,
# one of a pair touches the other, a closing one is followed by a delimiter or a line end.
_SPACED = re.compile(rb'([,;\t]) {1,64}"(?=[^",;\t\r\n])')
_SPACED_WIDTH = 66  # bytes of the longest match


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """How to decode a CSV and parse its quotes."""

    encoding: str
    #: delimiters with spaces between them and an opening quote
    spaced: frozenset[str]


def examine(content: Content) -> Text:
    """Detect how to read the file; raise CatalogError if it is not text."""
    problems = Problems()
    with content.open("rb") as file:
        start = file.read(16)
        for signature, kind in _SIGNATURES:
            if start.startswith(signature):
                problems.add(1, 1, f"the file looks like {kind}; save the table as CSV and send that file")
                problems.refuse()
        mark, encoding, codec = next(filter(lambda known: start.startswith(known[0]), _MARKS), _UNMARKED)
        bad = _CONTROLS
        file.seek(0)
        if not mark and not _is_utf8(file):
            encoding = codec = "cp1252"
            bad += _UNDEFINED
        file.seek(len(mark))
        spaced = _check(_transcoded(file, codec) if mark else _chunks(file), bad, problems, codec)
    problems.refuse()
    return Text(encoding=encoding, spaced=spaced)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, CHUNK), b"")


def _is_utf8(file: BinaryIO) -> bool:
    try:
        deque(_transcoded(file, "utf-8"), maxlen=0)
    except UnicodeDecodeError:
        return False
    return True


def _transcoded(file: BinaryIO, codec: str) -> Iterator[bytes]:
    """Yield the file as UTF-8; raise UnicodeDecodeError after the last good character."""
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for chunk in _chunks(file):
            yield decoder.decode(chunk).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        yield error.object[: error.start].decode(codec).encode()
        raise


def _without_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Hold back a CR that may be half of a CRLF, and end marks, until more bytes follow."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        kept = data.rstrip(b"\x1a")
        if len(data) - len(kept) > END_MARKS:
            kept = data
        kept = kept.removesuffix(b"\r")
        held = data[len(kept) :]
        yield kept


def _check(chunks: Iterable[bytes], bad: bytes, problems: Problems, codec: str) -> frozenset[str]:
    """Report each line with a bad byte; return the delimiters of spaced quotes."""
    spaced: set[bytes] = set()
    line = 1
    before = b""
    try:
        for chunk in _without_end(chunks):
            if len(chunk.translate(None, bad)) != len(chunk):
                _report(chunk, line, bad, problems)
            line += _line_ends(chunk)
            window = before + chunk
            if b' "' in window:
                spaced.update(_SPACED.findall(window))
            before = window[-_SPACED_WIDTH:]
    except UnicodeDecodeError:
        name = codec.removesuffix("-le").removesuffix("-be").upper()
        problems.add(
            line,
            1,
            f"the file begins like {name}, but this line is not: the file is damaged or cut off; "
            'save it again as "CSV UTF-8"',
        )
    return frozenset(delimiter.decode() for delimiter in spaced)


def _report(chunk: bytes, line: int, bad: bytes, problems: Problems) -> None:
    start = 0
    # the first bad byte of each line
    for match in re.finditer(b"[%b][^\r\n]*" % re.escape(bad), chunk):
        line += _line_ends(chunk[start : match.start()])
        start = match.start()
        what = "NUL bytes" if match[0][0] == 0 else f"the byte 0x{match[0][0]:02X}"
        problems.add(
            line, 1, f'the line holds {what}, which are not text; save the table again as "CSV UTF-8"'
        )


def _line_ends(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
