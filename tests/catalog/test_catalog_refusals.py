"""CSVs refused as a whole: line, column and message of each problem."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resizer.catalog import MAX_PROBLEMS, CatalogReader
from resizer.catalog.faults import MAX_CELL, MAX_ROW
from resizer.catalog.header import MAX_COLUMNS
from resizer.catalog.parsing import MAX_MISSING
from resizer.catalog.rows import BLOCK
from resizer.errors import CatalogError, Problem

A, B = "https://a/1.jpg", "https://a/2.jpg"
HEADER = "S. No.,Product Name,Input Image Urls\n"

Refuse = Callable[[str], tuple[Problem, ...]]


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    def refuse(text: str) -> tuple[Problem, ...]:
        path = tmp_path / "products.csv"
        path.write_bytes(text.encode())
        with pytest.raises(CatalogError) as caught, CatalogReader(path) as reader:
            list(reader)
        return caught.value.problems

    return refuse


@pytest.mark.parametrize(
    "text, line, column, says",
    [
        pytest.param("", 1, 1, "file is empty", id="empty file"),
        pytest.param("\n\r\n \n,,\n", 1, 1, "file is empty", id="blank file"),
        pytest.param(HEADER, 1, 3, "no product", id="header only"),
        pytest.param(f"\n{HEADER}\n,,\n", 2, 3, "no product", id="blank rows only"),
        pytest.param("\nImages,No,SKU\n,1,a\nb,2,c\n", 2, 1, 'no URL in the column "Images"', id="no URL"),
        pytest.param(f"No,SKU\n1,{A}\n", 1, 1, '"Input Image Urls"', id="no image column"),
        pytest.param(f"\n\nSKU,Images\na,{A}\n", 3, 1, '"S. No."', id="no serial column"),
        pytest.param(f"No,Images\n1,{A}\n", 1, 1, '"Product Name"', id="no name column"),
        pytest.param(f"{HEADER}1,SKU1,{A}\n2, \t,{A}\n", 3, 2, "no name", id="empty name"),
        pytest.param(f"{HEADER}1\n2,SKU1,{A}\n", 2, 2, "no name", id="short row without name"),
        pytest.param(f'{HEADER}1,"a\nb",{A}\n2,,{A}\n', 4, 2, "no name", id="after a cell of two lines"),
        pytest.param(
            f"{HEADER}1,SKU1,{A},12.50\n", 2, 4, '"12.50" is in a column without', id="spilled text"
        ),
        pytest.param(f"{HEADER}1,SKU1,https://a/w_1,h_1/a.jpg\n", 2, 4, '"h_1/a.jpg"', id="unquoted comma"),
        pytest.param(f"No,,SKU,Images\n1,x,a,{A}\n", 2, 2, "in line 1", id="text in unnamed column"),
        pytest.param(
            f"No,,SKU{',x' * MAX_MISSING},Images\n1,{A},a\n2,,b{',' * MAX_MISSING},{A}\n",
            2,
            2,
            "too far before",
            id="too far to be moved",
        ),
        pytest.param(f'{HEADER}1,SKU1,"{A}\n', 2, 3, "never closed", id="open quote"),
        pytest.param(
            f'{HEADER}1,SKU1,{A}\n2,"SKU2,{A}\n3,SKU3,{A}\n', 3, 2, "never closed", id="open in the middle"
        ),
        pytest.param(f'{HEADER}1,"a""b,",""",{A}\n', 2, 3, "never closed", id="open after doubled quotes"),
        pytest.param(
            f'"S. No.,Product Name,Input Image Urls\n1,a,{A}\n', 1, 1, "never closed", id="open in header"
        ),
        pytest.param(f'{HEADER}1,"5" screen",{A}\n', 2, 2, "after|follows", id="text after a quote"),
        pytest.param(
            f'{HEADER}1,a,"{A}\n2,b,"{B}"\n3,c,{A}\n', 2, 3, "down to line 3", id="closed by the next row"
        ),
        pytest.param(
            f'S. No., Product Name, Images\n1, "a" b, "{A}"\n', 2, 2, "follows", id="spaced, text after"
        ),
        pytest.param(f'No,"SKU"x,Images\n1,a,{A}\n2,b"c,{A}\n', 1, 2, "follows", id="broken header"),
        pytest.param("No;SKU,Images" + ",x" * MAX_COLUMNS, 1, MAX_COLUMNS + 1, "columns", id="too wide"),
    ],
)
def test_a_refusal_says_where_and_what(refuse: Refuse, text: str, line: int, column: int, says: str) -> None:
    (problem,) = refuse(text)
    assert (problem.line, problem.column) == (line, column)
    assert any(words in problem.message for words in says.split("|"))


def test_each_missing_column_is_a_problem_that_names_what_was_found(refuse: Refuse) -> None:
    problems = refuse(f"\nArticle,Price\nChair,{A}\n")
    assert [(problem.line, problem.column) for problem in problems] == [(2, 1)] * 3
    for problem, name in zip(problems, ("S. No.", "Product Name", "Input Image Urls"), strict=True):
        assert f'no column "{name}"' in problem.message
        assert 'found are "Article", "Price"' in problem.message
    assert '"Product", "SKU"' in problems[1].message


def test_the_delimiter_is_the_one_with_most_cells_where_no_column_is_found(refuse: Refuse) -> None:
    for problem in refuse(f"Article;Price, net;Stock\nChair;1;{A}\n"):
        assert 'found are "Article", "Price, net", "Stock"' in problem.message


def test_lines_are_right_after_a_broken_row_of_several(refuse: Refuse) -> None:
    problems = refuse(f'{HEADER}1,"a\nb\nc" d,{A}\n2,,{A}\n')
    assert [(problem.line, problem.column) for problem in problems] == [(2, 2), (5, 2)]


def test_a_long_header_is_not_repeated_whole(refuse: Refuse) -> None:
    for problem in refuse(",".join("x" * 1000 for _ in range(1000)) + "\n"):
        assert len(problem.message) < 2000
        assert "…" in problem.message


def test_reading_continues_after_a_problem(refuse: Refuse) -> None:
    problems = refuse(f'{HEADER}1,,{A}\n2,"a"b,{A}\n3,c,{A},x,{B},y\n\n4,"d\ne",{A}\n5, ,\n6,"f,{A}\n')
    assert [(problem.line, problem.column) for problem in problems] == [
        (2, 2),
        (3, 2),
        (4, 4),
        (4, 6),
        (8, 2),
        (9, 2),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("blank", ["", ",,", '""', "  "])
def test_lines_are_right_after_many_blank_ones(refuse: Refuse, blank: str, end: str) -> None:
    many = (blank + end) * 1000
    broken = f'4,"d\n" x,{A}'
    problems = refuse(
        f'{many}{HEADER}{many}1,a,"{A}{many}"{end}{many}2,,{A}{end}{many}{broken}{end}{many}3,,{A}'
    )
    assert [problem.line for problem in problems] == [4003, 5004, 6006]


def test_what_is_true_of_the_whole_file_comes_first(refuse: Refuse) -> None:
    problems = refuse(f"{HEADER}1,a,b\n2,,c\n")
    assert [(problem.line, problem.column) for problem in problems] == [(1, 3), (3, 2)]


def test_a_file_with_broken_rows_is_not_said_to_hold_no_url(refuse: Refuse) -> None:
    (problem,) = refuse(f'{HEADER}1,a,\n2,b,"{A}" x\n')
    assert problem.line == 3


def test_a_hundred_problems_are_listed(refuse: Refuse) -> None:
    problems = refuse(HEADER + f"1,,{A}\n" * 250)
    assert [problem.line for problem in problems] == list(range(2, 2 + MAX_PROBLEMS))


def test_a_hundred_broken_rows_are_listed(refuse: Refuse) -> None:
    problems = refuse(HEADER + f'1,"a"b,{A}\n' * 250)
    assert [problem.line for problem in problems] == list(range(2, 2 + MAX_PROBLEMS))


def test_nothing_is_read_after_the_hundredth_problem(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text(HEADER + f"1,,{A}\n" * 50_000)
    with CatalogReader(path) as reader:
        with pytest.raises(CatalogError):
            list(reader)
        assert reader._rows._file.tell() == BLOCK  # noqa: SLF001 - where it stopped shows nowhere else


def test_products_come_up_to_the_first_problem(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text(f"{HEADER}1,a,{A}\n2,,{A}\n3,c,{A}\n")
    with CatalogReader(path) as reader:
        products = iter(reader)
        assert next(products).name == "a"
        with pytest.raises(CatalogError):
            next(products)


@pytest.mark.parametrize(
    "text, line, column, says",
    [
        pytest.param(
            f"{HEADER}1,{'x' * (MAX_CELL + 1)},{A}\n2,,\n", 2, 2, "characters; split", id="long cell"
        ),
        pytest.param(
            f'{HEADER}1,"{"x" * (MAX_CELL + 1)}",{A}\n', 2, 2, "quote may be missing", id="quoted long cell"
        ),
        pytest.param(
            f'{HEADER}1,a,{A}\n2,b,"{A}\n' + f"3,c,{A}\n" * (MAX_CELL // 16),
            3,
            3,
            "quote may be missing",
            id="far open",
        ),
        pytest.param(
            f'{HEADER}1,"{"a" + chr(34) * 2}","{"x" * MAX_CELL + "y"}"\n',
            2,
            3,
            "quote may be",
            id="not the short one",
        ),
        pytest.param(
            f"{HEADER}{chr(10) * 99}{' ' * (MAX_CELL + 1)}\n\n", 101, 1, "characters; split", id="blank cell"
        ),
        pytest.param(f"{HEADER}1,a,{A}{',' * MAX_ROW}\n", 2, 1, f"{MAX_ROW:,}", id="long row"),
        pytest.param(
            f"{HEADER}1,a" + f',"{"x" * 999}\n"' * 5000 + "\n", 2, 1, f"{MAX_ROW:,}", id="many lines"
        ),
        pytest.param("x" * (MAX_ROW + 1), 1, 1, f"{MAX_ROW:,}", id="no line end at all"),
    ],
)
def test_what_is_too_long_is_refused(refuse: Refuse, text: str, line: int, column: int, says: str) -> None:
    (problem,) = refuse(text)
    assert (problem.line, problem.column) == (line, column)
    assert says in problem.message


def test_a_cell_of_doubled_quotes_counts_as_what_it_holds(refuse: Refuse) -> None:
    (problem,) = refuse(f'{HEADER}1,"{chr(34) * 2 * MAX_CELL}","x" y\n')
    assert (problem.line, problem.column) == (2, 3)
    assert "follows" in problem.message
    (problem,) = refuse(f'{HEADER}1,"{chr(34) * 2 * MAX_CELL}\n')
    assert (problem.line, problem.column) == (2, 2)
    assert "characters" in problem.message
    (problem,) = refuse(f'{HEADER}1,"{chr(34) * 2 * (MAX_CELL - 1)}\n')
    assert (problem.line, problem.column) == (2, 2)
    assert "never closed" in problem.message
