"""Split the text of a CSV into rows, strictly, and report broken quoting."""

import csv
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from functools import partial
from io import IncrementalNewlineDecoder, StringIO
from itertools import chain, islice
from typing import BinaryIO

from resizer.catalog.content import Content
from resizer.catalog.encoding import Text
from resizer.catalog.faults import AT_ONCE, FATAL, MAX_CELL, MAX_ROW, Fault, broken_cell
from resizer.catalog.problems import Problems

BLOCK = 1 << 16  # bytes read at once

# global to the process; nothing else here reads CSV
csv.field_size_limit(MAX_CELL)

DENSE = 32  # characters a line; above this average blank lines cost next to nothing

# eight characters from the start of a line; splitting the text for fewer does not pay
_MAY_BE_BLANK = re.compile(r'(?<![^\r\n])(?<!\r(?=\n))[\s,;"]{8}')


class _RowTooLong(csv.Error):
    pass


class Rows:
    """Iterates once over the rows of a CSV, split at one delimiter."""

    def __init__(self, content: Content, *, text: Text, delimiter: str, problems: Problems) -> None:
        self.delimiter = delimiter
        self.problems = problems
        #: whether a row could not be read, so that later ones may be misread
        self.broken = False
        self._spaced = delimiter in text.spaced
        self._encoding = text.encoding
        self._file: BinaryIO = content.open("rb")
        self._blank_rows = _blank_rows(delimiter, spaced=self._spaced)
        #: lines of blank rows that the csv module did not see
        self._skipped = 0
        #: first line of the current row
        self._line = 1
        #: lines given to the csv module since the current row began, to locate a fault
        self._lines: list[str] = []
        #: number of the first of them
        self._lines_from = 1
        #: characters in them
        self._length = 0
        self._rows = self._read()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row's first line, from 1, and its cells.

        A broken row is added to the problems and yields no cells. Long runs of blank rows are skipped.
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
                    self._line = reader.line_num + self._skipped + 1
            except csv.Error as error:
                fault = self._report(error, last=reader.line_num + self._skipped)
            else:
                return
            yield self._line, []
            if fault in FATAL:
                return
            self._line = reader.line_num + self._skipped + 1

    def _blocks(self) -> Iterator[Sequence[str]]:
        """Yield lines in bulk, or one by one near the limit of a row."""
        for text in self._cut():
            for lines in self._without_blank_rows(text):
                if self._keep(lines) <= MAX_ROW:
                    yield lines
                    continue
                self._length -= sum(map(len, lines))
                del self._lines[-len(lines) :]
                for line in lines:
                    if self._keep([line]) > MAX_ROW:
                        raise _RowTooLong
                    yield (line,)

    def _keep(self, lines: Sequence[str]) -> int:
        """Keep these lines, drop those of earlier rows, and return the number of characters kept."""
        complete = self._line - self._lines_from
        self._length += sum(map(len, lines)) - sum(map(len, islice(self._lines, complete)))
        del self._lines[:complete]
        self._lines_from = self._line
        self._lines += lines
        return self._length

    def _without_blank_rows(self, text: str) -> Iterator[list[str]]:
        """Yield the lines of this text without long runs of blank rows.

        The csv module takes as long for a row of one character as for one of eighty. In a quoted cell blank
        lines are content. Whether the csv module is between rows shows when it asks for the next lines, so
        the text is split where such runs may begin.
        """
        begin = at = in_vain = 0
        dense = DENSE * (text.count("\n") + text.count("\r")) > len(text)
        # never skip a cell that is too long
        while dense and len(text) <= MAX_CELL and (found := _MAY_BE_BLANK.search(text, at)):
            at = found.start()
            if begin < at:
                yield _lines_of(text[begin:at])
                begin = at
            if self._line < self._lines_from + len(self._lines):
                # in a quoted cell, which ends at the next quote or later
                at = text.find('"', at + in_vain) + 1
                if not at:
                    break
                in_vain = 2 * in_vain + 1
            elif blank := self._blank_rows.match(text, at):
                self._skip(_line_ends(blank[0]))
                begin = at = blank.end()
                in_vain = 0
            else:
                at += 1
        if begin < len(text):
            yield _lines_of(text[begin:])

    def _skip(self, lines: int) -> None:
        """Count lines skipped between two rows."""
        self._lines.clear()
        self._length = 0
        self._skipped += lines
        self._line += lines
        self._lines_from = self._line

    def _cut(self) -> Iterator[str]:
        """Yield the file's text in whole lines, up to one that exceeds the limit of a row."""
        # never returns half of a CRLF
        decoder = IncrementalNewlineDecoder(getincrementaldecoder(self._encoding)(), translate=False)
        begun = ""
        for data in chain(iter(partial(self._file.read, BLOCK), b""), [b""]):
            text = begun + decoder.decode(data, final=not data)
            end = 1 + max(text.rfind("\n", len(begun)), text.rfind("\r", len(begun)))
            begun = text[end:]
            if end:
                yield text[:end]
            if len(begun) > MAX_ROW:
                break
        if begun:
            yield begun.rstrip("\x1a")

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
            message += f" (the cell reaches down to line {last}; its own closing quote may be missing)"
        self.problems.add(first, column, message)
        return fault


def _blank_rows(delimiter: str, *, spaced: bool) -> re.Pattern[str]:
    """Return a pattern for whole rows of nothing but white space and delimiters, bare or in quotes.

    Linear on every text: it backtracks only to the last line end outside quotes.
    """
    # possessive is ten times as fast, but spaces before a quote must backtrack
    bare, spaces = (rf"[\s{delimiter}]*", " *") if spaced else (rf"[\s{delimiter}]*+", "")
    quoted = rf'(?<![^\r\n{delimiter}]){spaces}"\s*+"(?=[\r\n{delimiter}])'
    return re.compile(rf"(?:{bare}{quoted}){{0,{AT_ONCE}}}[\s{delimiter}]*[\r\n]")


def _lines_of(text: str) -> list[str]:
    return StringIO(text, newline="").readlines()


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
