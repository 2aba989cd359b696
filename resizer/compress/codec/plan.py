"""Decide what an image becomes: its format and size, and whether the source may be returned."""

from dataclasses import dataclass
from typing import Final, Self

from resizer.compress.codec.layout import Extent, Layout, Size
from resizer.containers.formats import Format
from resizer.containers.metadata import FIRST_SIDEWAYS
from resizer.recipe import NONE, WHITE, Effort, OutputFormat, Recipe

KEEP_SOURCE: Final = b""  # in place of a result: only the source will do
BEST: Final = 100  # quality from which PNG is lossless

#: formats never written; JPEG or PNG replaces them
REPLACED: Final = frozenset({Format.BMP, Format.TIFF, Format.HEIF})
#: further pages of a TIFF and pictures of a JPEG are not frames
ANIMATED: Final = frozenset({Format.GIF, Format.WEBP, Format.AVIF, Format.PNG})
#: pixels of the longest side that each encoder writes; larger images are shrunk to it
LONGEST_SIDE: Final = {
    Format.JPEG: 65500,
    Format.WEBP: 16383,
    Format.AVIF: 32768,
    Format.GIF: 65535,
    Format.PNG: 2**31 - 1,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The decisions about one image."""

    kind: Format
    target: Format
    quality: int
    effort: Effort
    #: EXIF orientation of the source
    turn: int
    #: width and height of the source as a viewer shows it
    upright: Size
    layout: Layout
    #: white, none or #rrggbb
    background: str
    #: nothing but fewer bytes is asked for, so the source may be returned
    may_keep: bool
    #: JPEG was not asked for by name, so a transparent image becomes PNG
    may_be_png: bool

    @classmethod
    def of(cls, recipe: Recipe, kind: Format, size: Size, turn: int) -> Self:
        kept = recipe.format is OutputFormat.KEEP
        replaced = kind in REPLACED
        target = Format(recipe.format.value) if not kept else Format.JPEG if replaced else kind
        upright = size if turn < FIRST_SIDEWAYS else size[::-1]
        layout = Layout.of(upright, recipe, LONGEST_SIDE[target])
        return cls(
            kind=kind,
            target=target,
            quality=recipe.quality,
            effort=recipe.effort,
            turn=turn,
            upright=upright,
            layout=layout,
            background=recipe.background,
            may_keep=layout.size == upright and (kept or target is kind) and kind is not Format.HEIF,
            may_be_png=kept and replaced,
        )

    @property
    def size(self) -> Size:
        """Width and height of the result as a viewer shows it."""
        return self.layout.size

    @property
    def only_recompresses(self) -> bool:
        """Whether a JPEG becomes a JPEG of the same size; it may be turned upright."""
        return self.kind is self.target is Format.JPEG and self.size == self.upright

    @property
    def drawn_before_turn(self) -> Size:
        return self.layout.drawn if self.turn < FIRST_SIDEWAYS else self.layout.drawn[::-1]

    @property
    def whole_before_turn(self) -> tuple[float, float]:
        """Size of the whole source at the scale at which a part of it is drawn."""
        width, height = self.drawn_before_turn
        across, down = self._shares
        return width / across, height / down

    def part_of(self, extent: Extent) -> Extent:
        """Return the part that is drawn of a source that covers this extent, before its turn."""
        left, top, right, bottom = extent
        across, down = self._shares
        x, y = (right - left) * (1 - across) / 2, (bottom - top) * (1 - down) / 2
        return left + x, top + y, right - x, bottom - y

    @property
    def _shares(self) -> tuple[float, float]:
        across, down = (part / whole for part, whole in zip(self.layout.part, self.upright, strict=True))
        return (across, down) if self.turn < FIRST_SIDEWAYS else (down, across)

    @property
    def ground(self) -> str | None:
        """Colour around and behind the picture; None if transparent."""
        if self.background != NONE:
            return self.background
        return WHITE if self.target is Format.JPEG else None

    @property
    def lossless_png(self) -> bool:
        return self.quality >= BEST

    @property
    def keeps_frames(self) -> bool:
        # PNG asked for by name is a still picture; only an animated PNG stays one.
        animates = self.target in (Format.GIF, Format.WEBP, Format.AVIF) or self.target is self.kind
        return self.kind in ANIMATED and animates
