"""Cut the text of a CSV into rows, strictly, and say where its quoting is broken."""

import csv
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import partial
from io import IncrementalNewlineDecoder, StringIO
from itertools import chain
from typing import BinaryIO

from resizer.catalog.encoding import Text
from resizer.catalog.problems import Problems
from resizer.content import Content

MAX_CELL = 1 << 20  # characters
MAX_ROW = 1 << 22  # characters, over all the lines of the row

BLOCK = 1 << 16  # bytes read at once

# of the whole process, there is no other way; nothing else here reads CSV
csv.field_size_limit(MAX_CELL)

_QUOTES = re.compile('"+')


class Fault(StrEnum):
    """Why a row cannot be read, as the client is told."""

    OPEN = 'the quote that opens this cell is never closed; put a " at the end of the cell'
    AFTER = (
        "text follows the closing quote of this cell; "
        'put the whole cell between quotes, and write a " inside it as ""'
    )
    CELL = f"the cell has more than {MAX_CELL:,} characters; split the row"
    QUOTED_CELL = f"the cell has more than {MAX_CELL:,} characters; its closing quote may be missing"
    ROW = f"the row has more than {MAX_ROW:,} characters; split it, or close a quote that was left open"


#: after these it cannot be told any more where a row begins
_FATAL = frozenset({Fault.CELL, Fault.QUOTED_CELL, Fault.ROW})


class _RowTooLong(csv.Error):
    pass


class Rows:
    """The rows of one CSV under one delimiter, to be gone through once."""

    def __init__(self, content: Content, *, text: Text, delimiter: str, problems: Problems) -> None:
        self.delimiter = delimiter
        self.problems = problems
        #: a row could not be read: what follows may be misunderstood
        self.broken = False
        self._spaced = delimiter in text.spaced
        self._encoding = text.encoding
        self._file: BinaryIO = content.open("rb")
        #: line on which the row begins that is being read
        self._line = 1
        #: lines from which the csv module is being fed, for the search after what broke a row
        self._lines: list[str] = []
        #: line that is the first of them
        self._lines_from = 1
        self._rows = self._read()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Go on with the rows: the line, from 1, on which each begins, and its cells.

        A row that is broken is noted among the problems and comes as one without cells.
        """
        return self._rows

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(
            chain.from_iterable(self._blocks()),
            delimiter=self.delimiter,
            skipinitialspace=self._spaced,
            strict=True,
        )
        while True:
            try:
                for cells in reader:
                    yield self._line, cells
                    self._line = reader.line_num + 1
            except csv.Error as error:
                fault = self._report(error, last=reader.line_num)
            else:
                return
            yield self._line, []
            if fault in _FATAL:
                return
            self._line = reader.line_num + 1

    def _blocks(self) -> Iterator[Sequence[str]]:
        """Yield lines, many at once; only where a row may become too long, line by line."""
        for lines in self._cut():
            if self._keep(lines) <= MAX_ROW:
                yield lines
                continue
            del self._lines[-len(lines) :]
            for line in lines:
                if self._keep([line]) > MAX_ROW:
                    raise _RowTooLong
                yield (line,)

    def _keep(self, lines: Sequence[str]) -> int:
        """Keep these lines and forget those of earlier rows; returns how many characters are kept."""
        del self._lines[: self._line - self._lines_from]
        self._lines_from = self._line
        self._lines += lines
        return sum(map(len, self._lines))

    def _cut(self) -> Iterator[list[str]]:
        """Yield the file's lines, many at once; one that is longer than a row may be is the last."""
        # it never gives half of a CRLF
        decoder = IncrementalNewlineDecoder(getincrementaldecoder(self._encoding)(), translate=False)
        begun = ""
        for data in chain(iter(partial(self._file.read, BLOCK), b""), [b""]):
            lines = StringIO(decoder.decode(data, final=not data), newline="").readlines()
            if not lines:
                continue
            lines[0] = begun + lines[0]
            begun = "" if lines[-1][-1] in "\r\n" else lines.pop()
            yield lines
            if len(begun) > MAX_ROW:
                break
        if begun:
            yield [begun.rstrip("\x1a")]

    def _report(self, error: csv.Error, *, last: int) -> Fault:
        self.broken = True
        first = self._line
        if isinstance(error, _RowTooLong):
            column, fault = 1, Fault.ROW
        else:
            text = "".join(self._lines[first - self._lines_from : last + 1 - self._lines_from])
            column, fault = broken_cell(text, self.delimiter, spaced=self._spaced)
        message = str(fault)
        if fault is Fault.AFTER and first != last:
            message += f" (the cell reaches down to line {last}: perhaps its own closing quote is missing)"
        self.problems.add(first, column, message)
        return fault


def broken_cell(text: str, delimiter: str, *, spaced: bool) -> tuple[int, Fault]:
    """Return which cell, from 1, of a row that the csv module gave up is at fault, and why.

    The csv module itself does not tell; nor does it tell one error from another but by its wording.
    """
    column, at = 1, 0
    while True:
        while spaced and text.startswith(" ", at):
            at += 1
        if text.startswith('"', at):
            end = _closing_quote(text, at + 1)
            if end is None:
                over = len(text) - at - 1 - text.count('""', at + 1) > MAX_CELL
                return column, Fault.QUOTED_CELL if over else Fault.OPEN
            if end - at - 1 - text.count('""', at + 1, end) > MAX_CELL:
                return column, Fault.QUOTED_CELL
            at = end + 1
            if not text.startswith(delimiter, at):
                return column, Fault.AFTER
        else:
            end = text.find(delimiter, at)
            if end < 0 or end - at > MAX_CELL:
                return column, Fault.CELL
            at = end
        at += 1
        column += 1


def _closing_quote(text: str, start: int) -> int | None:
    """Return where the cell's closing quote stands: pairs are its own, an odd one is the end."""
    for run in _QUOTES.finditer(text, start):
        if (run.end() - run.start()) % 2:
            return run.end() - 1
    return None
