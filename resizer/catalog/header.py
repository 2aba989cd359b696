"""Find the three required columns among the client's."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, count

from resizer.catalog.problems import Problems, shown

# docs/formats.md: the column's own name, then its aliases; an earlier one wins
SERIAL = ("S. No.", "Serial Number", "No")
NAME = ("Product Name", "Product", "SKU")
IMAGES = ("Input Image Urls", "Input Urls", "Image Urls", "Images")

MAX_COLUMNS = 2_000  # the result pads short rows to the header's width
LONGEST = 200  # characters; normalising a hostile text takes quadratic time
LISTED = 20  # the client's columns in a message


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The columns of a catalogue, and the indexes of the three required ones."""

    #: as in the file, without unnamed ones at the end
    columns: tuple[str, ...]
    serial: int
    name: int
    images: int


def normalised(name: str) -> str:
    """Return the letters and digits of a column's name, case-folded."""
    if len(name) > LONGEST:
        return name
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def columns_found(cells: Sequence[str]) -> int:
    """Return how many of the three columns are present."""
    return sum(index is not None for index in _find(cells))


def read_header(line: int, cells: Sequence[str], problems: Problems) -> Header:
    """Return the header; raise CatalogError with a problem for each missing column."""
    width = max(compress(count(1), map(str.strip, cells)), default=0)
    if width > MAX_COLUMNS:
        problems.add(line, MAX_COLUMNS + 1, f"there are {width:,} columns; delete all beyond {MAX_COLUMNS:,}")
        raise problems.error()
    columns = tuple(cells[:width])
    serial, name, images = _find(columns)
    if serial is not None and name is not None and images is not None:
        return Header(columns=columns, serial=serial, name=name, images=images)
    found = ", ".join(map(shown, columns[:LISTED])) + (", …" if width > LISTED else "")
    for index, accepted in zip((serial, name, images), (SERIAL, NAME, IMAGES), strict=True):
        if index is None:
            own, *aliases = map(shown, accepted)
            problems.add(
                line,
                1,
                f"there is no column {own}: the first line that is not empty must name it "
                f"({', '.join(aliases)} also work); the columns found are {found}",
            )
    raise problems.error()


def _find(cells: Sequence[str]) -> tuple[int | None, int | None, int | None]:
    """Return the indexes of the serial, name and image columns: the best name, then the leftmost."""
    leftmost: dict[str, int] = {}
    for index, cell in enumerate(cells[:MAX_COLUMNS]):
        leftmost.setdefault(normalised(cell), index)

    def best(accepted: Sequence[str]) -> int | None:
        return next((leftmost[name] for name in map(normalised, accepted) if name in leftmost), None)

    return best(SERIAL), best(NAME), best(IMAGES)
