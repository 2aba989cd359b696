"""Cut the text of a CSV into rows, strictly, and say where its quoting is broken."""

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

# of the whole process, there is no other way; nothing else here reads CSV
csv.field_size_limit(MAX_CELL)

#: characters; where lines are longer on average, blank ones cost nothing that would be noticed
DENSE = 32

# from the beginning of a line; for fewer characters it is not worth while to part the text
_MAY_BE_BLANK = re.compile(r'(?<![^\r\n])(?<!\r(?=\n))[\s,;"]{8}')


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
        self._blank_rows = _blank_rows(delimiter, spaced=self._spaced)
        #: lines of blank rows that the csv module has not seen, and so does not count
        self._skipped = 0
        #: line on which the row begins that is being read
        self._line = 1
        #: lines from which the csv module is being fed, for the search after what broke a row
        self._lines: list[str] = []
        #: line that is the first of them
        self._lines_from = 1
        #: characters in them
        self._length = 0
        self._rows = self._read()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Go on with the rows: the line, from 1, on which each begins, and its cells.

        A row that is broken is noted among the problems and comes as one without cells. Blank rows are left
        out where many stand together.
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
        """Yield lines, many at once; only where a row may become too long, line by line."""
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
        """Keep these lines and forget those of earlier rows; returns how many characters are kept."""
        complete = self._line - self._lines_from
        self._length += sum(map(len, lines)) - sum(map(len, islice(self._lines, complete)))
        del self._lines[:complete]
        self._lines_from = self._line
        self._lines += lines
        return self._length

    def _without_blank_rows(self, text: str) -> Iterator[list[str]]:
        """Yield the lines of this text, but for blank rows where many stand together.

        The csv module takes as long for a row of one character as for one of eighty. Only between rows are
        they passed over: in a quoted cell they are content. Whether the csv module is between rows shows
        when it asks for the next lines, so the text is parted where such rows may begin.
        """
        begin = at = in_vain = 0
        # longer ones cost next to nothing by the byte
        dense = DENSE * (text.count("\n") + text.count("\r")) > len(text)
        # a cell that is too long must not be passed over
        while dense and len(text) <= MAX_CELL and (found := _MAY_BE_BLANK.search(text, at)):
            at = found.start()
            if begin < at:
                yield _lines_of(text[begin:at])
                begin = at
            if self._line < self._lines_from + len(self._lines):
                # in a quoted cell, which does not end before the next quote, nor may it end there
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
        """Count lines that come between two rows."""
        self._lines.clear()
        self._length = 0
        self._skipped += lines
        self._line += lines
        self._lines_from = self._line

    def _cut(self) -> Iterator[str]:
        """Yield the file's text, many lines at once; one that is longer than a row may be is the last."""
        # it never gives half of a CRLF
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
            message += f" (the cell reaches down to line {last}: perhaps its own closing quote is missing)"
        self.problems.add(first, column, message)
        return fault


def _blank_rows(delimiter: str, *, spaced: bool) -> re.Pattern[str]:
    """Return what matches whole rows without content: of white space and delimiters, bare or in quotes.

    Linear on every text: the search goes back only over what stands after the last line end outside quotes.
    """
    # what is never given back is read ten times as fast; spaces before a quote must be
    bare, spaces = (rf"[\s{delimiter}]*", " *") if spaced else (rf"[\s{delimiter}]*+", "")
    quoted = rf'(?<![^\r\n{delimiter}]){spaces}"\s*+"(?=[\r\n{delimiter}])'
    return re.compile(rf"(?:{bare}{quoted}){{0,{AT_ONCE}}}[\s{delimiter}]*[\r\n]")


def _lines_of(text: str) -> list[str]:
    return StringIO(text, newline="").readlines()


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
