"""The compression options and their spelling."""

from dataclasses import replace
from typing import Any

import pytest

from resizer.recipe import NONE, WHITE, Effort, Fit, OutputFormat, Recipe, background_from

PLAIN = Recipe(quality=50, format=OutputFormat.KEEP)
BOX: dict[str, Any] = {"max_width": 30, "max_height": 20}


@pytest.mark.parametrize(
    "text, background",
    [("white", WHITE), ("#FFFFFF", WHITE), ("#ffffff", WHITE), ("none", NONE), ("#AB01ef", "#ab01ef")],
)
def test_background_has_one_spelling(text: str, background: str) -> None:
    assert background_from(text) == background


@pytest.mark.parametrize(
    "text", ["", "red", "#fff", "#12345", "#1234567", "#12345g", "White", "#١٢٣٤٥٦", "none "]
)
def test_what_is_no_background_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a colour"):
        background_from(text)


@pytest.mark.parametrize(
    "one, other",
    [
        ({}, {"background": "#102030"}),
        ({"format": "webp"}, {"format": "webp", "background": "none"}),
        ({"fit": "cover", **BOX}, {"fit": "cover", "background": "#102030", **BOX}),
        ({"format": "jpeg"}, {"format": "jpeg", "background": "none"}),
        (
            {"format": "jpeg", "fit": "pad", **BOX},
            {"format": "jpeg", "fit": "pad", "background": "none", **BOX},
        ),
        ({"max_width": 30}, {"max_width": 30, "fit": "cover"}),
    ],
)
def test_recipes_that_give_the_same_bytes_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = recipe(**one), recipe(**other)
    assert first.key() == second.key()
    assert first.options() != second.options()


def test_recipes_that_give_other_bytes_have_keys_of_their_own() -> None:
    recipes = [
        PLAIN,
        replace(PLAIN, effort=Effort.FAST),
        replace(PLAIN, effort=Effort.SMALL),
        *(replace(PLAIN, **BOX, fit=fit) for fit in Fit),
        *(replace(PLAIN, **BOX, fit=Fit.PAD, background=each) for each in (NONE, "#102030")),
        *(replace(PLAIN, format=OutputFormat.JPEG, background=each) for each in (WHITE, "#102030")),
    ]
    assert len({each.key() for each in recipes}) == len(recipes)


def test_recipe_of_nothing_but_earlier_options_keeps_its_line() -> None:
    """`resizer run` finds the run of an earlier version by this text."""
    assert PLAIN.options() == PLAIN.key() == "q50;keep;0x0"
    assert replace(PLAIN, max_width=8, max_height=9).options() == "q50;keep;8x9"


def recipe(**options: Any) -> Recipe:
    wanted, fit = OutputFormat(options.pop("format", "keep")), Fit(options.pop("fit", "inside"))
    return replace(PLAIN, format=wanted, fit=fit, **options)
