"""A file is split into the same rows wherever its blocks end."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resizer.catalog import rows
from resizer.catalog.encoding import Text
from resizer.catalog.faults import MAX_ROW
from resizer.catalog.problems import Problems
from resizer.catalog.rows import Rows
from resizer.errors import CatalogError, Problem

Read = tuple[list[tuple[int, list[str]]], list[Problem]]

PIECES = ["a", "é€", "😀", ",", '"', '""', "\n", "\r\n", "\r", " ", "\x1a"]
#: so many blank rows that they are passed over, and what is nearly that
MANY = [
    *(
        blank * 9
        for blank in ("\n", "\r\n", "\r", " \n", ",\n", "\t ;\r", '""\n', '" ",""\r\n', '"\r\n"\n', ' ""\n')
    ),
    *(
        [
            "\n" * 8 + "\r",
            "\r" * 9 + "\n",
            '"' + "\n" * 9,
            "\n" * 9 + '"',
            '"",' * 9,
            '""""\n' * 3,
            '""x\n' * 3,
            "1,a,b\n",
        ]
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30)
DENSE_TEXTS = st.lists(st.sampled_from(PIECES) | st.sampled_from(MANY), max_size=30)


def noted(problems: Problems, line: int) -> bool:
    return bool(problems.found) and problems.found[-1].line == line


def read(
    path: Path, encoding: str = "utf-8", *, delimiter: str = ",", spaced: frozenset[str] = frozenset()
) -> Read:
    """Return rows that are broken or not blank, since blank ones may be skipped."""
    problems = Problems()
    text = Text(encoding=encoding, spaced=spaced)
    found = Rows(path, text=text, delimiter=delimiter, problems=problems)
    try:
        kept = [(line, cells) for line, cells in found if any(map(str.strip, cells)) or noted(problems, line)]
    except CatalogError:
        kept = []
    finally:
        found.close()
    return kept, problems.found


@given(TEXTS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.integers(1, 9))
def test_rows_do_not_depend_on_where_a_block_ends(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], encoding: str, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_bytes("".join(pieces).encode(encoding))
    whole = read(path, encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", size)
        assert read(path, encoding) == whole


@settings(max_examples=500)
@given(
    DENSE_TEXTS,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([frozenset[str](), frozenset(",;\t")]),
    st.sampled_from([1 << 16, 40, 9]),
)
def test_rows_are_the_same_where_blank_ones_are_not_passed_over(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[str],
    delimiter: str,
    spaced: frozenset[str],
    size: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_bytes("".join(pieces).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", size)
        passed_over = read(path, delimiter=delimiter, spaced=spaced)
        patch.setattr(rows, "DENSE", 0)  # no line is short
        assert passed_over == read(path, delimiter=delimiter, spaced=spaced)


@pytest.mark.parametrize("before", ["", "1,a\n" * 9, "1,a\n" * 20_000])
@pytest.mark.parametrize("over", [0, 1])
def test_the_longest_row_is_limited_to_the_character(tmp_path: Path, before: str, over: int) -> None:
    cells = f'"{"x" * 999}\n",' * (MAX_ROW // 1003)
    row = f"{cells}{'y' * (MAX_ROW - len(cells) - 1 + over)}\n"
    assert len(row) == MAX_ROW + over
    path = tmp_path / "rows.csv"
    path.write_text(f"{before}{row}1,b\n")
    found, problems = read(path)
    line = before.count("\n") + 1
    assert [problem.line for problem in problems] == [line] * over
    assert found[-1] == ((line, []) if over else (line + row.count("\n"), ["1", "b"]))
