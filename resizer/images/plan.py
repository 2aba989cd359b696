"""Decide what is to become of an image: its format, its size, and whether its source may be given back."""

from dataclasses import dataclass
from typing import Final, Self

from resizer.images.formats import Format
from resizer.models import OutputFormat, Recipe

UPRIGHT: Final = 1
ORIENTATIONS: Final = range(1, 9)  # of EXIF
FIRST_SIDEWAYS: Final = 5  # orientations from here on lie on their side
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
    #: the source's EXIF orientation
    turn: int
    #: width and height as a viewer shows it, before and after
    upright: tuple[int, int]
    size: tuple[int, int]
    #: nothing but smaller bytes was asked for
    may_keep: bool
    #: JPEG was not asked for by name: what is transparent becomes PNG
    may_be_png: bool

    @classmethod
    def of(cls, recipe: Recipe, kind: Format, size: tuple[int, int], turn: int) -> Self:
        kept = recipe.format is OutputFormat.KEEP
        replaced = kind in REPLACED
        target = Format(recipe.format.value) if not kept else Format.JPEG if replaced else kind
        upright = size if turn < FIRST_SIDEWAYS else size[::-1]
        fitted = _fit(upright, recipe, LONGEST_SIDE[target])
        return cls(
            kind=kind,
            target=target,
            quality=recipe.quality,
            turn=turn,
            upright=upright,
            size=fitted,
            may_keep=fitted == upright and (kept or target is kind) and kind is not Format.HEIF,
            may_be_png=kept and replaced,
        )

    @property
    def shrinks(self) -> bool:
        return self.size != self.upright

    @property
    def only_recompresses(self) -> bool:
        """Whether it is a JPEG, and stays the same JPEG but for its quality."""
        return self.kind is self.target is Format.JPEG and self.turn == UPRIGHT and not self.shrinks

    @property
    def size_before_turn(self) -> tuple[int, int]:
        return self.size if self.turn < FIRST_SIDEWAYS else self.size[::-1]

    @property
    def lossless_png(self) -> bool:
        return self.quality >= BEST

    @property
    def keeps_frames(self) -> bool:
        # who asks for PNG wants a picture; only an animated PNG stays one
        animates = self.target in (Format.GIF, Format.WEBP, Format.AVIF) or self.target is self.kind
        return self.kind in ANIMATED and animates


def _fit(size: tuple[int, int], recipe: Recipe, longest: int) -> tuple[int, int]:
    width, height = size
    widest, highest = min(recipe.max_width or longest, longest), min(recipe.max_height or longest, longest)
    scale = min(widest / width, highest / height)
    if scale >= 1:
        return size
    # rounding must not push a side over its limit, nor down to nothing
    return min(max(round(width * scale), 1), widest), min(max(round(height * scale), 1), highest)
