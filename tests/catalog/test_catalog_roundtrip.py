"""Any table, written in any of the accepted ways, reads back to the same cells."""

import re
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resizer.catalog import CatalogReader, ResultWriter, Slot
from resizer.models import Product

# The third name is not valid UTF-8 in Windows-1252, the fourth contains delimiters.
COLUMNS = ("S. No.", "Product Name", "Größe", 'a, "b";\tc\n, "d', "Input Image Urls")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
TRICKY = [*list(' ,;|\t"\r\n'), ', "', '"",', "https://x/y", "=1", "é"]
# listed: Hypothesis would search all of Unicode for them
WINDOWS_1252 = [each for each in bytes(range(256)).decode("cp1252", "ignore") if category(each) != "Cc"]
CHARACTERS = {
    **dict.fromkeys(ENCODINGS, st.characters(exclude_categories=["Cs", "Cc"])),
    "cp1252": st.sampled_from(WINDOWS_1252),
}


def cells(encoding: str) -> st.SearchStrategy[str]:
    characters = CHARACTERS[encoding]
    return st.lists(st.one_of(characters, st.sampled_from(TRICKY)), max_size=8).map("".join)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[tuple[str, ...]]]:
    encoding = draw(st.sampled_from(ENCODINGS))
    cell = cells(encoding)
    row = st.tuples(cell, cell.filter(str.strip), cell, cell, cell)
    return encoding, [("1", "first", "", "", "https://a/1.jpg"), *draw(st.lists(row, max_size=5))]


def written(cell: str, delimiter: str, *, always: bool) -> str:
    if always or set(cell) & {delimiter, '"', "\r", "\n"}:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def read(path: Path) -> list[Product]:
    with CatalogReader(path) as reader:
        assert reader.header.columns[: len(COLUMNS)] == COLUMNS
        return list(reader)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalog") / "products.csv"


@settings(max_examples=100)
@given(
    table=tables(),
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from(["where needed", "always"]),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\r\n"]), min_size=1, max_size=3),
)
def test_any_table_reads_back(
    path: Path, table: tuple[str, list[tuple[str, ...]]], delimiter: str, quoting: str, ends: list[str]
) -> None:
    encoding, rows = table
    text, lines = "", []
    for index, row in enumerate([COLUMNS, *rows]):
        if index:
            text += ends[index % len(ends)]
        lines.append(1 + len(re.findall(r"\r\n|\r|\n", text)))
        text += delimiter.join(written(cell, delimiter, always=quoting == "always") for cell in row)
    if len(ends) > 1:
        text += ends[0]
    path.write_bytes(text.encode(encoding))
    products = read(path)
    assert [product.cells for product in products] == rows
    assert [product.line for product in products] == lines[1:]
    assert [product.serial for product in products] == [row[0].strip() for row in rows]
    assert [product.name for product in products] == [row[1].strip() for row in rows]


@settings(max_examples=50)
@given(table=tables())
def test_the_result_reads_back_as_the_input_and_the_output(
    path: Path, table: tuple[str, list[tuple[str, ...]]]
) -> None:
    _, rows = table
    writer = ResultWriter(COLUMNS, detail=True)
    slots = (Slot(output_url="https://r/a.jpg", input_bytes=2, output_bytes=1), Slot(error="dns"))
    path.write_bytes(writer.header() + writer.products((row, slots) for row in rows))
    added = ("https://r/a.jpg,", ",dns", "2,", "1,")
    assert [product.cells for product in read(path)] == [(*row, *added) for row in rows]
