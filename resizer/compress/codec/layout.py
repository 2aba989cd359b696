"""The geometry of a result: the part of the picture that is drawn, its size, and the size of the canvas."""

from dataclasses import dataclass
from typing import Self

from resizer.recipe import Fit, Recipe

Size = tuple[int, int]
#: left, top, right, bottom
Extent = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Widths and heights as a viewer sees them."""

    #: of the part in the middle of the source that is drawn; fractions of pixels if it is shrunk
    part: tuple[float, float]
    #: of that part in the result
    drawn: Size
    #: of the result; the part is drawn in its middle
    size: Size

    @classmethod
    def of(cls, source: Size, recipe: Recipe, longest: int) -> Self:
        """Lay out a source as the recipe asks; no side of the result is longer than `longest`."""
        if recipe.box is None:
            fitted = _fit(source, recipe.max_width or longest, recipe.max_height or longest, longest)
            return cls(part=source, drawn=fitted, size=fitted)
        box = _fit(recipe.box, longest, longest, longest)
        if recipe.fit is Fit.PAD:
            return cls(part=source, drawn=_fit(source, *box, longest), size=box)
        # pixels of the source for each of the box
        scale = min(source[0] / box[0], source[1] / box[1])
        part = min(box[0] * scale, source[0]), min(box[1] * scale, source[1])
        if scale > 1:
            return cls(part=part, drawn=box, size=box)
        # A source smaller than the box is never enlarged: only its aspect becomes that of the box.
        whole = max(round(part[0]), 1), max(round(part[1]), 1)
        return cls(part=whole, drawn=whole, size=whole)

    @property
    def shrinks(self) -> bool:
        return self.part != self.drawn

    @property
    def pads(self) -> bool:
        return self.drawn != self.size


def margins(part: Size, whole: Size) -> Size:
    """Return the left and top margin of a part in the middle of the whole."""
    return (whole[0] - part[0]) // 2, (whole[1] - part[1]) // 2


def _fit(size: Size, max_width: int, max_height: int, longest: int) -> Size:
    width, height = size
    max_width, max_height = min(max_width, longest), min(max_height, longest)
    scale = min(max_width / width, max_height / height)
    if scale >= 1:
        return size
    # Rounding must not push a side over its limit, nor down to nothing.
    return min(max(round(width * scale), 1), max_width), min(max(round(height * scale), 1), max_height)
