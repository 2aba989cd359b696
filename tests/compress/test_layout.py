"""The geometry of every fit."""

from typing import Any

import pytest

from resizer.compress.codec.layout import Layout, margins
from resizer.recipe import Fit, OutputFormat, Recipe

ENDLESS = 10**9
Size = tuple[int, int]


def laid_out(source: Size, fit: str, box: Size, longest: int = ENDLESS) -> Layout:
    recipe = Recipe(quality=50, format=OutputFormat.KEEP, max_width=box[0], max_height=box[1], fit=Fit(fit))
    return Layout.of(source, recipe, longest)


@pytest.mark.parametrize(
    "source, fit, box, drawn, size",
    [
        # larger than the box
        ((600, 400), "inside", (300, 300), (300, 200), (300, 200)),
        ((600, 400), "cover", (300, 300), (300, 300), (300, 300)),
        ((600, 400), "pad", (300, 300), (300, 200), (300, 300)),
        ((400, 600), "cover", (300, 100), (300, 100), (300, 100)),
        ((400, 600), "pad", (300, 100), (67, 100), (300, 100)),
        # equal to it
        ((600, 400), "inside", (600, 400), (600, 400), (600, 400)),
        ((600, 400), "cover", (600, 400), (600, 400), (600, 400)),
        ((600, 400), "pad", (600, 400), (600, 400), (600, 400)),
        # smaller: never enlarged
        ((60, 40), "inside", (300, 300), (60, 40), (60, 40)),
        ((60, 40), "cover", (300, 300), (40, 40), (40, 40)),
        ((60, 40), "cover", (300, 100), (60, 20), (60, 20)),
        ((60, 40), "pad", (300, 300), (60, 40), (300, 300)),
        # larger on one side, smaller on the other
        ((600, 40), "inside", (300, 300), (300, 20), (300, 20)),
        ((600, 40), "cover", (300, 300), (40, 40), (40, 40)),
        ((600, 40), "pad", (300, 300), (300, 20), (300, 300)),
        ((600, 300), "cover", (300, 300), (300, 300), (300, 300)),
        # so flat that a side would become zero
        ((1000, 2), "pad", (100, 100), (100, 1), (100, 100)),
        ((10, 1000), "cover", (1000, 1), (10, 1), (10, 1)),
        ((1, 1), "cover", (3, 5), (1, 1), (1, 1)),
    ],
)
def test_size_of_what_is_drawn_and_of_the_result(
    source: Size, fit: str, box: Size, drawn: Size, size: Size
) -> None:
    layout = laid_out(source, fit, box)
    assert (layout.drawn, layout.size) == (drawn, size)
    assert layout.pads == (drawn != size)


@pytest.mark.parametrize("fit", list(Fit))
def test_no_layout_enlarges_leaves_the_source_or_gets_out_of_the_limits(fit: str) -> None:
    sides = (1, 2, 3, 7, 40, 99, 100, 101, 640, 1999)
    for source in ((width, height) for width in sides for height in sides):
        for box in ((width, height) for width in sides for height in sides):
            layout = laid_out(source, fit, box)
            facts: Any = (source, box, layout)
            for axis in (0, 1):
                assert 1 <= layout.drawn[axis] <= layout.size[axis] <= box[axis], facts
                assert layout.part[axis] <= source[axis], facts
                assert layout.drawn[axis] <= max(layout.part[axis], 1), facts
            if fit is Fit.PAD:
                assert layout.size == box, facts
            if fit is Fit.COVER and source[0] >= box[0] and source[1] >= box[1]:
                assert layout.size == box, facts
            if fit is not Fit.COVER:
                assert layout.part == source, facts


@pytest.mark.parametrize("fit, size", [("inside", (200, 100)), ("cover", (200, 100)), ("pad", (200, 100))])
def test_box_that_is_too_long_for_a_format_keeps_its_aspect(fit: str, size: Size) -> None:
    assert laid_out((4000, 2000), fit, (1000, 500), longest=200).size == size


def test_fit_without_both_limits_is_inside() -> None:
    """Such a recipe is refused before; here it does no harm."""
    for box in ((0, 0), (300, 0), (0, 300)):
        assert laid_out((600, 600), "cover", box) == laid_out((600, 600), "inside", box)


def test_odd_pixel_is_left_over_at_the_right_and_below() -> None:
    assert margins((4, 4), (9, 10)) == (2, 3)
