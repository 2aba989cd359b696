"""Find the cell of a row that cannot be read, and say why."""

import re
from enum import StrEnum

MAX_CELL = 1 << 20  # characters
MAX_ROW = 1 << 22  # characters, over all the lines of the row

#: repetitions in one match; its square is less than MAX_CELL, and each repetition of a group takes memory
AT_ONCE = 1000

_QUOTES = re.compile('"+')


class Fault(StrEnum):
    """Why a row cannot be read, in the words that the client gets."""

    OPEN = 'the quote that opens this cell is never closed; put a " at the end of the cell'
    AFTER = (
        "text follows the closing quote of this cell; "
        'put the whole cell between quotes, and write a " inside it as ""'
    )
    CELL = f"the cell has more than {MAX_CELL:,} characters; split the row"
    QUOTED_CELL = f"the cell has more than {MAX_CELL:,} characters; its closing quote may be missing"
    ROW = f"the row has more than {MAX_ROW:,} characters; split it, or close a quote that was left open"


#: after these the start of the next row is unknown
FATAL = frozenset({Fault.CELL, Fault.QUOTED_CELL, Fault.ROW})


def broken_cell(text: str, delimiter: str, *, spaced: bool) -> tuple[int, Fault]:
    """Return which cell, from 1, of a row that the csv module gave up is at fault, and why.

    The csv module itself does not tell; nor does it tell one error from another but by its wording.
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
    """Return what matches a cell that is not at fault, with its delimiter; rare ones it leaves out."""
    quote, piece, many = ' *"' if spaced else '"', f'[^"]{{0,{AT_ONCE}}}', f"{{0,{AT_ONCE}}}"
    quoted, bare = f'{quote}{piece}(?:""{piece}){many}"', f"(?!{quote})[^{delimiter}]{{0,{MAX_CELL}}}"
    return re.compile(f"(?:{quoted}|{bare}){delimiter}")


def _closing_quote(text: str, start: int) -> int | None:
    """Return where the cell's closing quote stands: pairs are its own, an odd one is the end."""
    for run in _QUOTES.finditer(text, start):
        if (run.end() - run.start()) % 2:
            return run.end() - 1
    return None
