"""Encodings are detected, and bytes that are not text are refused."""

import codecs
from pathlib import Path

import pytest

from resizer.catalog import CatalogReader
from resizer.catalog.encoding import CHUNK
from resizer.errors import CatalogError, Problem

HEADER = "S. No.,Product Name,Input Image Urls,Größe\r\n"
TEXT = HEADER + "1,Käse „fein“ €,https://a/1.jpg,groß\r\n"


def read_names(path: Path) -> list[str]:
    with CatalogReader(path) as reader:
        assert reader.header.columns[3] == "Größe"
        return [product.name for product in reader]


def refuse(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(CatalogError) as caught, CatalogReader(path) as reader:
        list(reader)
    return caught.value.problems


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TEXT.encode(), id="utf-8"),
        pytest.param(TEXT.encode("utf-8-sig"), id="utf-8 with mark"),
        pytest.param(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), id="utf-16 little"),
        pytest.param(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), id="utf-16 big"),
        pytest.param(TEXT.encode("cp1252"), id="windows-1252"),
        pytest.param(TEXT.encode() + b"\x1a", id="end mark"),
        pytest.param(TEXT.encode() + b"\x1a" * 128, id="a block of end marks"),
        pytest.param(TEXT.rstrip().encode() + b"\r\x1a", id="end mark after a carriage return"),
    ],
)
def test_each_encoding_is_detected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(content)
    assert read_names(path) == ["Käse „fein“ €"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("shift", range(4))
def test_characters_across_a_chunk_are_whole(tmp_path: Path, encoding: str, shift: int) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(
        (HEADER + "x" * shift + "ä" * (CHUNK // 2 + 64) + ",ä,https://a/1.jpg\r\n").encode(encoding)
    )
    assert read_names(path) == ["ä"]


def test_a_late_byte_that_is_not_utf8_makes_the_file_windows_1252(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    rows = "".join(f"{n},SKU{n},https://a/{n}.jpg\r\n" for n in range(60_000))
    path.write_bytes((HEADER.replace("Größe", "Grosse") + rows).encode() + b"1,\xc4pfel,https://a/1.jpg\r\n")
    with CatalogReader(path) as reader:
        assert [product.name for product in reader][-1] == "Äpfel"


@pytest.mark.parametrize(
    "content, line, says",
    [
        pytest.param(b"a\nb\x00c\x00\nd", 2, "NUL", id="NUL"),
        pytest.param(b"a\r\nb\rc\nd\x00", 4, "NUL", id="NUL after mixed line ends"),
        pytest.param("\ufeffa\nb\0".encode("utf-16-le"), 2, "NUL", id="NUL in UTF-16"),
        pytest.param(b"a\n\nb\x07", 3, "0x07", id="control"),
        pytest.param(b"a\nb\x1ac\n", 2, "0x1A", id="end mark before the end"),
        pytest.param(b"a\n\xe4\n\x81", 3, "0x81", id="undefined in Windows-1252"),
        pytest.param("\ufeffa\nb".encode("utf-16-le")[:-1], 2, "UTF-16", id="UTF-16 cut off"),
        pytest.param(
            "\ufeffa\nb\n".encode("utf-16-be") + b"\xd8\x00\x00a", 3, "UTF-16", id="half a surrogate pair"
        ),
        pytest.param(b"\xef\xbb\xbfa\nb\xff", 2, "UTF-8", id="UTF-8 mark but no UTF-8"),
        pytest.param(b"PK\x03\x04\x14\x00", 1, "Excel workbook", id="xlsx"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1", 1, "old Excel workbook", id="xls"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", 1, "PNG", id="png"),
        pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF", 1, "JPEG", id="jpeg"),
        pytest.param(b"%PDF-1.7\n", 1, "PDF", id="pdf"),
        pytest.param(b"\x1f\x8b\x08\0", 1, "gzip", id="gzip"),
    ],
)
def test_bytes_that_are_not_text_are_refused_with_their_line(
    tmp_path: Path, content: bytes, line: int, says: str
) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(content)
    (problem,) = refuse(path)
    assert (problem.line, problem.column) == (line, 1)
    assert says in problem.message


def test_lines_are_counted_across_chunks(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(b"x" * (CHUNK - 1) + b"\r\n" + b"y" * (CHUNK - 2) + b"\r\n\0\n" + b"z" * CHUNK + b"\n\0")
    assert [problem.line for problem in refuse(path)] == [3, 5]


def test_each_bad_line_is_listed_up_to_a_hundred(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(b"ok\n" + b"\0\0\n" * 150)
    assert [problem.line for problem in refuse(path)] == list(range(2, 102))


def test_more_end_marks_than_a_block_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(TEXT.encode() + b"\x1a" * 129)
    assert [problem.line for problem in refuse(path)] == [3]
