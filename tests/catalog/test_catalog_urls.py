"""A cell is split into its URLs."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resizer.catalog import split_urls
from resizer.catalog.urls import _searched

A, B, C = "https://a.example/1.jpg", "http://b.example/2.png", "https://c.example/3.webp"


@pytest.mark.parametrize(
    "separator",
    [
        ",",
        ", ",
        " ,",
        " , ",
        ";",
        "; ",
        "|",
        " | ",
        " ",
        "   ",
        "\n",
        "\r\n",
        "\t",
        ",\n",
        ",,",
        ", ;|\t",
        "\u00a0",
    ],
)
def test_every_separator_parts_urls(separator: str) -> None:
    assert split_urls(separator.join([A, B, C])) == (A, B, C)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/w_100,h_100/a.jpg",
        "https://a.example/a;v=1;w=2/a.jpg",
        "https://a.example/a|b.jpg",
        "https://a.example/two words.jpg",
        "https://a.example/?u=a,b;c:d//e",
        "https://a.example/,http:/x",
        "https://a.example/?u=http://b.example/a.jpg",
    ],
)
def test_a_separator_inside_a_url_stays(url: str) -> None:
    assert split_urls(url) == (url,)
    assert split_urls(f"{A},{url} , {B}") == (A, url, B)


@pytest.mark.parametrize(
    "cell, urls",
    [
        ("", ()),
        (" \t\r\n", ()),
        (" ,;| ", ()),
        (f" ,;{A}|, ", (A,)),
        ("www.x.com/a.jpg", ("www.x.com/a.jpg",)),
        ("foo, http://a/b.jpg", ("foo", "http://a/b.jpg")),
        ("http://a/b.jpg, foo", ("http://a/b.jpg, foo",)),
        ("ftp://x/y", ("ftp://x/y",)),
        ("http://", ("http://",)),
        ("http://,http://", ("http://", "http://")),
        ("HTTPS://A/b git+ssh://c", ("HTTPS://A/b", "git+ssh://c")),
        (f"{A},1http://x", (f"{A},1http://x",)),
        (f"{A},://x", (f"{A},://x",)),
        (f"{A},{A}", (A, A)),
    ],
)
def test_odd_cells_split_as_said(cell: str, urls: tuple[str, ...]) -> None:
    assert split_urls(cell) == urls


PIECES = st.from_regex(r"https?://[a-z]{1,5}(/[a-z0-9,;| :._-]{0,12}[a-z0-9])?", fullmatch=True).filter(
    lambda url: not re.search(r"[\s,;|][a-z][a-z0-9+.-]*://", url)
)
RUNS = st.text(",;| \t\r\n", min_size=1, max_size=4)


@given(st.lists(st.tuples(PIECES, RUNS), min_size=1, max_size=6), RUNS)
def test_urls_joined_by_any_separators_come_back(pieces: list[tuple[str, str]], before: str) -> None:
    cell = before + "".join(url + run for url, run in pieces)
    assert split_urls(cell) == tuple(url for url, _ in pieces)


@given(st.text(",;| \naAh:/.1é", max_size=60))
def test_splitting_loses_nothing_but_separators(cell: str) -> None:
    assert re.sub(r"[\s,;|]", "", "".join(split_urls(cell))) == re.sub(r"[\s,;|]", "", cell)


@given(st.lists(st.sampled_from([*",;| \n\u00a0aA:/.", "http", "://", "http://", "https://a/1"]), max_size=9))
def test_a_lone_url_is_what_a_search_would_find(pieces: list[str]) -> None:
    cell = "".join(pieces)
    assert split_urls(cell) == _searched(cell)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "unit, entries",
    [
        (",", 0),
        (" ", 0),
        (", ", 0),
        ("a", 1),
        ("a:", 1),
        ("a,", 1),
        ("a ,", 1),
        (":/", 1),
        ("a:/,", 1),
        (",;| " * 64 + "a", 1),
        ("a://,", (1 << 20) // 5),
    ],
)
def test_a_hostile_cell_of_a_mebibyte_is_split(unit: str, entries: int) -> None:
    """Quadratic time would exceed the suite's timeout by far."""
    cell = unit * ((1 << 20) // len(unit))
    assert len(split_urls(cell)) == entries
    # separators at the ends are stripped, so test them between two other characters too
    assert len(split_urls(f"x{cell}x")) == max(entries, 1)


def test_every_white_space_of_unicode_is_stripped() -> None:
    spaces = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
    assert set(spaces) == set(re.findall(r"\s", "".join(map(chr, range(sys.maxunicode + 1)))))
    assert split_urls(f"{spaces}http://a/b{spaces}") == ("http://a/b",)
