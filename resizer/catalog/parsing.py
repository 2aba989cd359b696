"""Read the products of a CSV in one pass, in bounded memory."""

from collections.abc import Iterator
from contextlib import closing
from itertools import compress, count, islice
from operator import itemgetter, mul
from typing import Self

from resizer.catalog.content import Content
from resizer.catalog.encoding import Text, examine
from resizer.catalog.header import IMAGES, NAME, SERIAL, columns_found, read_header
from resizer.catalog.problems import Problems, shown
from resizer.catalog.rows import Rows
from resizer.catalog.urls import URL, split_urls
from resizer.models import Product

DELIMITERS = (",", ";", "\t")

MAX_MISSING = 20  # empty cells added to a short row when a URL is moved to its image column


class CatalogReader:
    """Iterates once over the products of a CSV; a context manager that closes the file.

    Construction and iteration raise CatalogError with the first 100 problems. Iteration yields products up
    to the first problem, so they count only once it has ended without one.
    """

    def __init__(self, content: Content) -> None:
        text = examine(content)
        self._problems = Problems()
        delimiter = _delimiter(content, text)
        self._rows = Rows(content, text=text, delimiter=delimiter, problems=self._problems)
        try:
            self._line, cells = self._first_row()
            self.header = read_header(self._line, cells, self._problems)
        except BaseException:
            self.close()
            raise
        self._named = [bool(column.strip()) for column in self.header.columns]
        #: index of the first unnamed column; at most the width of the header
        self._unnamed_from = [*self._named, False].index(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._rows.close()

    def __iter__(self) -> Iterator[Product]:
        header, problems = self.header, self._problems.found
        width, places = len(header.columns), (header.serial, header.name, header.images)
        all_named, picked = self._unnamed_from == width, itemgetter(*places)
        any_row = any_url = False
        for line, row in self._rows:
            if all_named and len(row) == width:
                cells, (serial, name, images) = row, picked(row)
            elif not any(map(str.strip, row)):
                continue
            else:
                cells = self._fitted(line, row)
                serial, name, images = [cells[place] if place < len(cells) else "" for place in places]
            product_name = name.strip()
            if not product_name:
                if not any(map(str.strip, cells)):
                    continue
                message = "the product has no name; give it one, or delete the row"
                self._problems.add(line, header.name + 1, message)
            any_row = True
            urls = split_urls(images)
            any_url = any_url or any(map(URL.match, urls))
            if not problems:
                # positional: keywords take twice as long
                yield Product(line, serial.strip(), product_name, tuple(cells), urls)
        if not self._rows.broken:
            self._judge_whole(any_row=any_row, any_url=any_url)
        self._problems.refuse()

    def _first_row(self) -> tuple[int, list[str]]:
        first = _first_filled(self._rows)
        if first is None:
            self._problems.refuse()
            wanted = ", ".join(shown(names[0]) for names in (SERIAL, NAME, IMAGES))
            self._problems.add(1, 1, f"the file is empty; its first line must name the columns {wanted}")
            raise self._problems.error()
        return first

    def _fitted(self, line: int, row: list[str]) -> list[str]:
        """Move URLs in unnamed columns to the image cell.

        The row is not padded to the header's width, so that a short row costs little.
        """
        width, images = len(self.header.columns), self.header.images
        cells = [*map(mul, row, self._named)]
        spilled = []
        # skips blank cells in bulk: a row can have millions
        beyond = islice(row, self._unnamed_from, None)
        for index in compress(count(self._unnamed_from), map(str.strip, beyond)):
            if index < width and self._named[index]:
                continue
            cell = row[index].strip()
            if URL.match(cell):
                spilled.append(index)
            else:
                self._problems.add(
                    line,
                    index + 1,
                    f"{shown(cell)} is in a column without a name and is not a URL; name the column in line "
                    f"{self._line}, or quote the cell it belongs to",
                )
        if spilled:
            missing = images + 1 - len(cells)
            if missing > MAX_MISSING:
                self._problems.add(
                    line,
                    spilled[0] + 1,
                    f"{shown(row[spilled[0]])} is in a column without a name, and the row ends too far "
                    f"before the image column; name the column in line {self._line}",
                )
                return cells
            cells += [""] * missing
            moved = [row[index] for index in spilled]
            cells[images] = ",".join([cells[images], *moved] if cells[images].strip() else moved)
        return cells

    def _judge_whole(self, *, any_row: bool, any_url: bool) -> None:
        column = self.header.images + 1
        if not any_row:
            self._problems.add(self._line, column, "there is no product below the header; add one per row")
        elif not any_url:
            self._problems.add(
                self._line,
                column,
                f"there is no URL in the column {shown(self.header.columns[column - 1])}; "
                "write URLs in full, such as https://example.com/photo.jpg",
            )


def _first_filled(rows: Rows) -> tuple[int, list[str]] | None:
    for line, cells in rows:
        if rows.broken:
            return None
        if any(map(str.strip, cells)):
            return line, cells
    return None


def _delimiter(content: Content, text: Text) -> str:
    """Return the delimiter that gives the header most of the three columns, then most cells."""

    def rank(delimiter: str) -> tuple[int, int]:
        problems = Problems()
        with closing(Rows(content, text=text, delimiter=delimiter, problems=problems)) as rows:
            first = _first_filled(rows)
        if problems.found:
            return 0, problems.found[0].column  # broken quoting: the cells before the fault
        if first is None:
            return 1, 0  # nothing but this delimiter and white space
        return columns_found(first[1]), len(first[1])

    return max(DELIMITERS, key=rank)
