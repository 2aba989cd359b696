"""The result CSV."""

import pytest

from resizer.catalog import ResultWriter, Slot

DONE = Slot(output_url="https://r/a.jpg", input_bytes=200, output_bytes=50)
FAILED = Slot(error="http_status")
LARGE = Slot(error="unsupported_format", input_bytes=7)
COLUMNS = ("S. No.", "Product Name", "Input Image Urls")


def test_the_output_column_comes_last() -> None:
    writer = ResultWriter(COLUMNS)
    assert writer.header() == b"S. No.,Product Name,Input Image Urls,Output Image Urls\r\n"
    assert writer.products([(("1", "SKU1", "u"), [DONE])]) == b"1,SKU1,u,https://r/a.jpg\r\n"


def test_each_image_has_a_slot_and_a_failed_one_is_empty() -> None:
    writer = ResultWriter(COLUMNS)
    assert writer.products(
        [
            (("1", "a", "u,u,u"), [DONE, FAILED, DONE]),
            (("2", "b", "u,u"), [FAILED, FAILED]),
            (("3", "c", "u"), [FAILED]),
            (("4", "d", ""), []),
        ]
    ) == (
        b'1,a,"u,u,u","https://r/a.jpg,,https://r/a.jpg"\r\n'
        b'2,b,"u,u",","\r\n'
        b"3,c,u,\r\n"
        b"4,d,,\r\n"
    )  # fmt: skip


def test_detail_adds_three_columns_slot_for_slot() -> None:
    writer = ResultWriter(COLUMNS, detail=True)
    assert writer.header().endswith(b",Output Image Urls,Errors,Input Bytes,Output Bytes\r\n")
    assert writer.products([(("1", "a", "u"), [DONE, FAILED, LARGE]), (("2", "b", ""), [])]) == (
        b'1,a,u,"https://r/a.jpg,,",",http_status,unsupported_format","200,,7","50,,"\r\n2,b,,,,,\r\n'
    )


@pytest.mark.parametrize("name", ["Output Image Urls", "output_image_URLs", " OutputImageUrls "])
def test_an_output_column_of_the_input_is_replaced(name: str) -> None:
    writer = ResultWriter((name, *COLUMNS, name))
    assert writer.header() == b"S. No.,Product Name,Input Image Urls,Output Image Urls\r\n"
    assert writer.products([(("old", "1", "a", "u", "old"), [DONE])]) == b"1,a,u,https://r/a.jpg\r\n"


def test_other_columns_stay_where_they_are_even_if_named_like_a_detail() -> None:
    writer = ResultWriter(("Errors", *COLUMNS, ""), detail=True)
    assert writer.header().startswith(
        b"Errors,S. No.,Product Name,Input Image Urls,,Output Image Urls,Errors,"
    )


@pytest.mark.parametrize(
    "cell, written",
    [
        ("plain", "plain"),
        (" lead ", " lead "),
        ("=1+1", "=1+1"),
        ("007", "007"),
        ("a;b\tc|d", "a;b\tc|d"),
        ("a,b", '"a,b"'),
        ('5"', '"5"""'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a\r\nb", '"a\r\nb"'),
        ("Käse €", "Käse €"),
    ],
)
def test_cells_are_quoted_only_where_rfc_4180_wants_it(cell: str, written: str) -> None:
    assert ResultWriter(COLUMNS).products([((cell, "a", "u"), [])]) == f"{written},a,u,\r\n".encode()


def test_no_products_are_no_bytes() -> None:
    assert ResultWriter(COLUMNS).products([]) == b""
