"""No shape of a file makes its intake cost much more than its bytes or its rows are worth."""

import sys
from collections.abc import Callable
from functools import cache, partial
from types import FrameType
from typing import Any

import pytest

from benchmarks.shapes import PRODUCT_ROWS, SHAPES, Shape
from resizer.catalog import CatalogReader
from resizer.catalog.content import InMemory
from resizer.database.imports import _image_rows, _product_rows
from resizer.errors import CatalogError
from resizer.pipeline.importing import _chunks

#: bytes of a file and of one that repeats more of the same: what these add is what a large file costs
SIZES = (6_000, 18_000)
#: times as much as product rows
MOST = 2
#: steps that take as long as SQLite does for one row that it is given: 3 µs of 25 ns each
INSERT = 100


def steps(run: Callable[[], object]) -> int:
    """Count the instructions of Python's interpreter that it takes: the same each time, as no time is.

    What is done in C is left out: it takes a hundredth of the time, byte by byte.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def take_in(data: bytes) -> int:
    """Do what Python does of a file, from its bytes to rows for the database; returns how many these are."""
    given = 0
    try:
        with CatalogReader(InMemory(data)) as reader:
            for chunk in _chunks(reader):
                given += len(list(_product_rows(1, 0, 0, chunk.products)))
                given += len(list(_image_rows(1, 0, 0, chunk.products)))
    except CatalogError:
        pass
    return given


def added(shape: Shape) -> tuple[int, int, int]:
    """Return the bytes, the rows and the steps by which the larger file of this shape exceeds the smaller."""
    (data, rows), (more_data, more_rows) = map(shape.file, SIZES)
    given = take_in(more_data) - take_in(data)  # and regular expressions are compiled, which is done but once
    taken = steps(partial(take_in, more_data)) - steps(partial(take_in, data))
    return len(more_data) - len(data), more_rows - rows, taken + INSERT * given


@cache
def by_row() -> tuple[float, float]:
    """Return the steps of product rows, for each byte and for each row."""
    size, rows, taken = added(PRODUCT_ROWS)
    return taken / size, taken / rows


@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in SHAPES.items()])
def test_a_file_costs_at_most_twice_what_product_rows_of_its_bytes_or_its_rows_cost(shape: Shape) -> None:
    for_byte, for_row = by_row()
    size, rows, taken = added(shape)
    assert taken <= MOST * max(size * for_byte, rows * for_row)
