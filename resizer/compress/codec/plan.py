"""Decide what is to become of an image: its format, its size, and whether its source may be given back."""

from dataclasses import dataclass
from typing import Final, Self

from resizer.compress.codec.layout import Extent, Layout, Size
from resizer.containers.formats import Format
from resizer.containers.metadata import FIRST_SIDEWAYS
from resizer.recipe import NONE, WHITE, Effort, OutputFormat, Recipe

BEST: Final = 100  # quality from which on PNG is lossless

#: never written: JPEG or PNG stand in their place
REPLACED: Final = frozenset({Format.BMP, Format.TIFF, Format.HEIF})
#: pages of a TIFF and further pictures of a JPEG are no frames
ANIMATED: Final = frozenset({Format.GIF, Format.WEBP, Format.AVIF, Format.PNG})
#: pixels that each encoder takes at most on one side; larger images are fitted into it
LONGEST_SIDE: Final = {
    Format.JPEG: 65500,
    Format.WEBP: 16383,
    Format.AVIF: 32768,
    Format.GIF: 65535,
    Format.PNG: 2**31 - 1,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to become of one image."""

    kind: Format
    target: Format
    quality: int
    effort: Effort
    #: the source's EXIF orientation
    turn: int
    #: width and height of the source as a viewer shows it
    upright: Size
    layout: Layout
    #: white, none or #rrggbb
    background: str
    #: nothing but smaller bytes was asked for
    may_keep: bool
    #: JPEG was not asked for by name: what is transparent becomes PNG
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
        """Whether a JPEG stays one of the same size; it may be turned upright."""
        return self.kind is self.target is Format.JPEG and self.size == self.upright

    @property
    def drawn_before_turn(self) -> Size:
        return self.layout.drawn if self.turn < FIRST_SIDEWAYS else self.layout.drawn[::-1]

    @property
    def whole_before_turn(self) -> tuple[float, float]:
        """Size at which the whole source would be drawn, of which a part may be."""
        shares = self._shares
        width, height = self.drawn_before_turn
        return width / shares[0], height / shares[1]

    def part_of(self, extent: Extent) -> Extent:
        """Return the part that is drawn of a source, before its turn, that lies at this extent."""
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
        """Colour around and behind the picture; None where that is transparent."""
        if self.background != NONE:
            return self.background
        return WHITE if self.target is Format.JPEG else None

    @property
    def lossless_png(self) -> bool:
        return self.quality >= BEST

    @property
    def keeps_frames(self) -> bool:
        # who asks for PNG wants a picture; only an animated PNG stays one
        animates = self.target in (Format.GIF, Format.WEBP, Format.AVIF) or self.target is self.kind
        return self.kind in ANIMATED and animates
