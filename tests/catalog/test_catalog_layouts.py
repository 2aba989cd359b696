"""Different layouts of the same catalogue."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from resizer.catalog import CatalogReader, Header
from resizer.catalog.encoding import CHUNK
from resizer.catalog.parsing import MAX_MISSING
from resizer.models import Product

A, B, C = "https://a/1.jpg", "https://a/2.jpg", "https://a/3.jpg"

Read = Callable[[str], tuple[Header, list[Product]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> tuple[Header, list[Product]]:
        path = tmp_path / "products.csv"
        path.write_bytes(text.encode())
        with CatalogReader(path) as reader:
            return reader.header, list(reader)

    return read


HEADER = "S. No.,Product Name,Input Image Urls\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{HEADER}1,SKU1,"{A},{B}"\n', id="plain"),
        pytest.param(f'{HEADER}1,SKU1,"{A},{B}"', id="no newline at the end"),
        pytest.param(f'{HEADER}1,SKU1,"{A}, {B}"\n'.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(f'{HEADER}1,SKU1,"{A}, {B}"\n'.replace("\n", "\r"), id="CR"),
        pytest.param(f'"S. No.","Product Name","Input Image Urls"\n"1","SKU1","{A},{B}"\n', id="all quoted"),
        pytest.param(f"{HEADER.replace(',', ';')}1;SKU1;{A},{B}\n", id="semicolon"),
        pytest.param(
            f'"S. No.";"Product Name";"Input Image Urls"\n1;SKU1;"{A};{B}"\n', id="semicolon quoted"
        ),
        pytest.param(f"{HEADER.replace(',', chr(9))}1\tSKU1\t{A} {B}\n", id="tab"),
        pytest.param(f"{HEADER}1,SKU1,{A},{B}\n", id="spilled"),
        pytest.param(f"{HEADER}1,SKU1,,{A},,{B},,\n", id="spilled past empty cells"),
        pytest.param(f"{HEADER.strip()},,\n1,SKU1,{A},{B},\n", id="unnamed columns in the header"),
        pytest.param(f'S. No., Product Name, Input Image Urls\n1, SKU1, "{A}, {B}"\n', id="spaced quotes"),
        pytest.param(
            f'S. No., Product Name, Input Image Urls\n1, SKU1, "{A}\n{B}"\n', id="spaced, two lines"
        ),
        pytest.param(f'{HEADER}1,SKU1,"{A}\n{B}"\n', id="cell of two lines"),
        pytest.param(f'{HEADER}\n,,\n  \n1,SKU1,"{A},{B}"\n\n , ,\n', id="blank rows"),
        pytest.param(f'\n\n,,,,\n \n{HEADER}1,SKU1,"{A},{B}"\n', id="blank lines first"),
        pytest.param(f'{HEADER} 1 ,\tSKU1 ,"{A},{B}"\n', id="white space around"),
    ],
)
def test_every_layout_reads_the_same(read: Read, text: str) -> None:
    header, products = read(text)
    assert [column.strip() for column in header.columns] == ["S. No.", "Product Name", "Input Image Urls"]
    assert [(product.serial, product.name, product.urls) for product in products] == [("1", "SKU1", (A, B))]


@pytest.mark.parametrize(
    "columns, places",
    [
        (("S. No.", "Product Name", "Input Image Urls"), (0, 1, 2)),
        (("Images", "SKU", "No"), (2, 1, 0)),
        (("s no", "PRODUCT-NAME", "input_image_urls"), (0, 1, 2)),
        (("S.No.", "ProductName", "Input Image URLs"), (0, 1, 2)),
        (("Sno", "Product", "Input Urls"), (0, 1, 2)),
        (("SerialNumber", "SKU", "ImageUrls"), (0, 1, 2)),
        (("SERIAL NUMBER", "Price", "SKU", "Image Urls"), (0, 2, 3)),
        (("\uff33. \uff2e\uff4f.", "Product\u00a0Name", "Input\nImage\nUrls"), (0, 1, 2)),
        (("SKU", "Product", "No", "Product Name", "S. No.", "Images", "Input Image Urls"), (4, 3, 6)),
        (("SKU", "Product", "No", "Images", "Input Urls"), (2, 1, 4)),
        (("No", "no", "Product", "product", "Images", "images"), (0, 2, 4)),
        (("No", "", "Product", "Images", "Note"), (0, 2, 3)),
    ],
)
def test_columns_are_found_by_name_in_any_order(
    read: Read, columns: tuple[str, ...], places: tuple[int, int, int]
) -> None:
    row = [""] * len(columns)
    for place, cell in zip(places, ("7", "Chair", A), strict=True):
        row[place] = cell
    header, products = read(",".join(f'"{column}"' for column in columns) + "\n" + ",".join(row) + "\n")
    assert header.columns == columns
    assert (header.serial, header.name, header.images) == places
    assert [(product.serial, product.name, product.urls) for product in products] == [("7", "Chair", (A,))]


@pytest.mark.parametrize(
    "header, width",
    [
        ("S. No.;Product Name;Input Image Urls;a,b,c,d,e,f", 4),
        ("S. No.,Product Name,Input Image Urls,a;b;c;d;e;f", 4),
        ("S. No.\tProduct Name\tInput Image Urls\ta;b,c", 4),
    ],
)
def test_the_delimiter_is_the_one_that_shows_the_columns(read: Read, header: str, width: int) -> None:
    delimiter = header[len("S. No.")]
    found, products = read(f"{header}\n{delimiter.join(['1', 'SKU1', A, 'x'])}\n")
    assert len(found.columns) == width
    assert products[0].cells == ("1", "SKU1", A, "x")


def test_cells_are_kept_as_they_came(read: Read) -> None:
    cells = (" 1", "  Chair ", f" {A} , {B} ", ' "5"", round" ', "=1+1", "a\r\nb\rc\nd")
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    _, (product,) = read(f"{HEADER.strip()},Note,Formula,Lines\n{quoted}\n")
    assert product.cells == cells
    assert (product.serial, product.name, product.urls) == ("1", "Chair", (A, B))


def test_spaces_before_an_unquoted_cell_are_kept(read: Read) -> None:
    _, (product,) = read(f'{HEADER.strip()},Note\n1, SKU1, {A},"see, ""there"", "\n')
    assert product.cells == ("1", " SKU1", f" {A}", 'see, "there", ')


def test_spaced_quotes_are_detected_anywhere_in_the_file(read: Read) -> None:
    """The style is searched for in chunks of the file; here a match spans two of them."""
    for shift in range(8):
        start = f"{HEADER}0,pad,"
        pad = "https://a/".ljust(CHUNK - len(start) - len('1, SKU1,  "') + shift - 3, "x") + "\n"
        _, products = read(f'{start}{pad}1, SKU1,  "{A}, {B}"\n')
        assert products[1].urls == (A, B)
        assert products[1].cells == ("1", "SKU1", f"{A}, {B}")


def test_spaces_before_a_quote_that_is_of_no_delimiter_mean_nothing(read: Read) -> None:
    _, (product,) = read(f"{HEADER.strip()},Note\n".replace(",", ";") + f'1; SKU1;{A};a, "b" c\n')
    assert product.cells == ("1", " SKU1", A, 'a, "b" c')


def test_short_rows_stay_short(read: Read) -> None:
    """The result pads them."""
    _, products = read(f"{HEADER.strip()},Note\n1,SKU1,{A}\n2,SKU2\n")
    assert [product.cells for product in products] == [("1", "SKU1", A), ("2", "SKU2")]
    assert [product.urls for product in products] == [(A,), ()]


def test_a_short_row_is_read_where_the_image_column_is_beyond_its_end(read: Read) -> None:
    _, products = read(f"SKU,Note,No,Images\nSKU1\n\nSKU2,,2\nSKU3,,,{A}\n")
    assert [(product.name, product.serial, product.urls) for product in products] == [
        ("SKU1", "", ()),
        ("SKU2", "2", ()),
        ("SKU3", "", (A,)),
    ]


def test_a_product_without_images_is_kept(read: Read) -> None:
    _, products = read(f"{HEADER}1,SKU1,{A}\n2,SKU2,\n3,SKU3, ;\n")
    assert [product.urls for product in products] == [(A,), (), ()]


def test_duplicates_are_kept_in_order(read: Read) -> None:
    _, products = read(f'{HEADER}1,SKU1,"{B},{A},{B}"\n1,SKU1,"{B},{A},{B}"\n')
    assert [product.urls for product in products] == [(B, A, B), (B, A, B)]


def test_urls_of_unnamed_columns_move_into_the_image_cell(read: Read) -> None:
    header, (product,) = read(f'No,,Images,Product, \n1,"{B};{C}",{A},SKU1,ftp://x/y , http://\n')
    assert header.columns == ("No", "", "Images", "Product")
    assert product.cells == ("1", "", f"{A},{B};{C},ftp://x/y , http://", "SKU1")
    assert product.urls == (A, B, C, "ftp://x/y", "http://")


def test_a_row_is_filled_up_to_the_image_cell_for_a_url_that_is_moved_there(read: Read) -> None:
    between = ",x" * (MAX_MISSING - 1)
    _, (product,) = read(f"No,,SKU{between},Images\n1,{A},SKU1\n")
    assert product.cells == ("1", "", "SKU1", *[""] * (MAX_MISSING - 1), A)
    assert product.urls == (A,)


def test_white_space_in_an_unnamed_column_is_dropped(read: Read) -> None:
    _, (product,) = read(f"No,,Images,SKU\n1, ,{A},SKU1, \n")
    assert product.cells == ("1", "", A, "SKU1")


def test_an_unquoted_cell_is_put_together_as_it_was_written(read: Read) -> None:
    _, (product,) = read(f"{HEADER}1,SKU1,{A}, {B},\n")
    assert product.cells[2] == f"{A}, {B}"
    _, (product,) = read(f"{HEADER}1,SKU1,,{A},,{B}\n")
    assert product.cells[2] == f"{A},{B}"


def test_lines_are_those_on_which_rows_begin(read: Read) -> None:
    _, products = read(f'\n"S.\nNo.",SKU,Images\r\n1,a,"{A}\n\r\n{B}"\r\r2,b,{A}\n,,\n3,"c\rd",{A}\n4,e,{A}')
    assert [(product.serial, product.line) for product in products] == [
        ("1", 4),
        ("2", 8),
        ("3", 10),
        ("4", 12),
    ]


def test_a_cell_of_a_mebibyte_is_read(read: Read) -> None:
    urls = f"{A}\n" * 65_536
    _, (product,) = read(f'{HEADER}1,SKU1,"{urls}"\n')
    assert len(urls) == 1 << 20
    assert product.urls == (A,) * 65_536


def test_the_reader_closes_its_file(tmp_path: Path) -> None:
    """Warnings are errors in this suite, including that about an unclosed file."""
    path = tmp_path / "products.csv"
    path.write_text(f"{HEADER}1,SKU1,{A}\n2,SKU2,{A}\n")
    with CatalogReader(path) as reader:
        assert next(iter(reader)).name == "SKU1"
    with pytest.raises(ValueError, match="closed file"):
        list(reader)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    urls = ",".join(f"https://cdn.example/products/{n}.jpg" for n in range(3))
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines(f'{n},SKU{n},"{urls}"\n' for n in range(100_000))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with CatalogReader(path) as reader:
            count = sum(len(product.urls) for product in reader)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 300_000
    assert peak < 8_000_000 < size
