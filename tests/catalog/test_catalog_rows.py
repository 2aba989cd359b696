"""A file is cut into the same rows wherever its blocks happen to end."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resizer.catalog import rows
from resizer.catalog.encoding import Text
from resizer.catalog.problems import Problems
from resizer.catalog.rows import MAX_ROW, Rows
from resizer.errors import CatalogError, Problem

Read = tuple[list[tuple[int, list[str]]], list[Problem]]

TEXTS = st.lists(
    st.sampled_from(["a", "é€", "😀", ",", '"', '""', "\n", "\r\n", "\r", " ", "\x1a"]), max_size=30
)


def read(path: Path, encoding: str = "utf-8") -> Read:
    problems = Problems()
    found = Rows(path, text=Text(encoding=encoding, spaced=frozenset()), delimiter=",", problems=problems)
    try:
        return list(found), problems.found
    except CatalogError:
        return [], problems.found
    finally:
        found.close()


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


@pytest.mark.parametrize("before", ["", "1,a\n" * 9, "1,a\n" * 20_000])
@pytest.mark.parametrize("over", [0, 1])
def test_the_longest_row_is_told_to_the_character(tmp_path: Path, before: str, over: int) -> None:
    cells = f'"{"x" * 999}\n",' * (MAX_ROW // 1003)
    row = f"{cells}{'y' * (MAX_ROW - len(cells) - 1 + over)}\n"
    assert len(row) == MAX_ROW + over
    path = tmp_path / "rows.csv"
    path.write_text(f"{before}{row}1,b\n")
    found, problems = read(path)
    line = before.count("\n") + 1
    assert [problem.line for problem in problems] == [line] * over
    assert found[-1] == ((line, []) if over else (line + row.count("\n"), ["1", "b"]))
