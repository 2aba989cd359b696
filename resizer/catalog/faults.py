"""Locate the fault in a row that the csv module rejects."""

import re
from enum import StrEnum

MAX_CELL = 1 << 20  # characters
MAX_ROW = 1 << 22  # characters, over all the lines of the row

#: repetitions in one match; each repetition of a group takes memory
AT_ONCE = 1000

_QUOTES = re.compile('"+')


class Fault(StrEnum):
    """Why a row cannot be read, in the words that the client sees."""

    OPEN = 'the quote that opens this cell is never closed; put a " at the end of the cell'
    AFTER = (
        "text follows the closing quote of this cell; "
        'put the whole cell between quotes, and write a " inside it as ""'
    )
    CELL = f"the cell has more than {MAX_CELL:,} characters; split the row"
    QUOTED_CELL = f"the cell has more than {MAX_CELL:,} characters; its closing quote may be missing"
    ROW = f"the row has more than {MAX_ROW:,} characters; split it, or close a quote that was left open"


#: faults after which the start of the next row is unknown
FATAL = frozenset({Fault.CELL, Fault.QUOTED_CELL, Fault.ROW})


def broken_cell(text: str, delimiter: str, *, spaced: bool) -> tuple[int, Fault]:
    """Return the column, from 1, of the faulty cell, and its fault.

    The csv module reports neither: its errors differ only in their wording.
    """
    column, at = 1, 0
    sound = _sound_cell(delimiter, spaced=spaced)
    many = re.compile(f"(?:{sound.pattern}){{1,{AT_ONCE}}}")
    while True:
        while cells := many.match(text, at):
            column += len(sound.findall(text, at, cells.end()))
            at = cells.end()
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


def _sound_cell(delimiter: str, *, spaced: bool) -> re.Pattern[str]:
    """Return a pattern for a sound cell and its delimiter; rare ones do not match."""
    quote, piece, many = ' *"' if spaced else '"', f'[^"]{{0,{AT_ONCE}}}', f"{{0,{AT_ONCE}}}"
    quoted, bare = f'{quote}{piece}(?:""{piece}){many}"', f"(?!{quote})[^{delimiter}]{{0,{MAX_CELL}}}"
    return re.compile(f"(?:{quoted}|{bare}){delimiter}")


def _closing_quote(text: str, start: int) -> int | None:
    """Return the index of the cell's closing quote: the last of an odd run."""
    for run in _QUOTES.finditer(text, start):
        if (run.end() - run.start()) % 2:
            return run.end() - 1
    return None
