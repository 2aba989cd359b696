"""Read a CSV of products in one go through it, without holding it."""

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from typing import Self

from resizer.catalog.encoding import Text, examine
from resizer.catalog.header import IMAGES, NAME, SERIAL, columns_found, read_header
from resizer.catalog.problems import Problems, shown
from resizer.catalog.rows import Rows
from resizer.catalog.urls import URL, split_urls
from resizer.content import Content
from resizer.models import Product

DELIMITERS = (",", ";", "\t")


class CatalogReader:
    """The products of one CSV, to be gone through once; a context manager that closes the file.

    Opening it and going through it raise CatalogError with the first 100 problems. It yields products up
    to the first problem and then reads on for more: what it yielded counts only when it came to its end.
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
        named = [bool(column.strip()) for column in self.header.columns]
        self._unnamed = [index for index, has_name in enumerate(named) if not has_name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._rows.close()

    def __iter__(self) -> Iterator[Product]:
        header, problems, unnamed = self.header, self._problems.found, self._unnamed
        width, serial, name, images = len(header.columns), header.serial, header.name, header.images
        any_row = any_url = False
        for line, row in self._rows:
            cells = row if len(row) == width and not unnamed else self._fitted(line, row)
            product_name = cells[name].strip()
            if not product_name:
                if not any(map(str.strip, cells)):
                    continue
                self._problems.add(line, name + 1, "the product has no name; give it one, or delete the row")
            any_row = True
            urls = split_urls(cells[images])
            any_url = any_url or any(map(URL.match, urls))
            if not problems:
                # by place: names would take twice as long, a million times
                yield Product(line, cells[serial].strip(), product_name, tuple(cells), urls)
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
        """Return the row at the header's width, the URLs of unnamed columns moved into the image cell."""
        width = len(self.header.columns)
        cells = row[:width] + [""] * (width - len(row))
        spilled = []
        for index in chain(self._unnamed, range(width, len(row))):
            cell = row[index] if index < len(row) else ""
            if index < width:
                cells[index] = ""
            if URL.match(cell.strip()):
                spilled.append(cell)
            elif cell.strip():
                self._problems.add(
                    line,
                    index + 1,
                    f"{shown(cell)} stands in a column without a name and is no URL; name the column in line "
                    f"{self._line}, or quote the cell that it is a part of",
                )
        if spilled:
            images = self.header.images
            cells[images] = ",".join([cells[images], *spilled] if cells[images].strip() else spilled)
        return cells

    def _judge_whole(self, *, any_row: bool, any_url: bool) -> None:
        column = self.header.images + 1
        if not any_row:
            self._problems.add(self._line, column, "there is no product below the header; add one a row")
        elif not any_url:
            self._problems.add(
                self._line,
                column,
                f"there is not one URL in the column {shown(self.header.columns[column - 1])}; "
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
    """Return the delimiter under which the header shows most of the three columns, then most cells."""

    def rank(delimiter: str) -> tuple[int, int]:
        problems = Problems()
        with closing(Rows(content, text=text, delimiter=delimiter, problems=problems)) as rows:
            first = _first_filled(rows)
        if problems.found:
            # broken quoting: as many cells as could be read
            return 0, problems.found[0].column
        if first is None:
            # nothing but this delimiter and white space, which under another one would be a header
            return 1, 0
        return columns_found(first[1]), len(first[1])

    return max(DELIMITERS, key=rank)
