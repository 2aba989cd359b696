"""Split an image cell into its URLs."""

import re

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*+://"

#: how every URL begins
URL = re.compile(_SCHEME)

_HTTP = ("http://", "https://")

# Linear on every cell: a run of separators matches only from its first character (the lookbehind), does not
# backtrack (possessive), and a scheme holds no separator. A character class comes first, since the search
# skips to it three times as fast as to a lookbehind.
_BETWEEN = re.compile(rf"[\s,;|](?<![\s,;|]{{2}})[\s,;|]*+(?={_SCHEME})")

_LAST_SPACE = 0x3000  # the last character for which str.isspace is true
#: `\s` for str.strip: stripping the end with a regular expression would be quadratic
_ENDS = ",;|" + "".join(filter(str.isspace, map(chr, range(_LAST_SPACE + 1))))


def split_urls(cell: str) -> tuple[str, ...]:
    """Return one entry for each image of the cell, in order.

    A URL may hold separators itself: they separate only where another URL follows. Text that is not a URL
    is an entry too, whose image fails.
    """
    if cell.startswith(_HTTP) and cell.count("://") == 1 and cell[-1] not in _ENDS:
        return (cell,)  # most cells: no second URL can begin
    return _searched(cell)


def _searched(cell: str) -> tuple[str, ...]:
    stripped = cell.strip(_ENDS)
    return tuple(_BETWEEN.split(stripped)) if stripped else ()
