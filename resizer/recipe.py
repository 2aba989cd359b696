"""The options of a request that decide how its images are compressed."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

WHITE: Final = "white"
#: transparent if the target format supports it, else white
NONE: Final = "none"
BACKGROUND: Final = re.compile(r"white|none|#[0-9A-Fa-f]{6}")
BACKGROUND_EXPECTED: Final = "white, none, or a colour such as #f4f4f4"


class OutputFormat(StrEnum):
    """The formats that a client may ask for."""

    KEEP = "keep"
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"


class Effort(StrEnum):
    """How long an encoder may search for fewer bytes of the same quality."""

    FAST = "fast"
    BALANCED = "balanced"
    SMALL = "small"


class Fit(StrEnum):
    """How an image is fitted to the limits of a recipe."""

    #: the whole image within the limits, its aspect kept
    INSIDE = "inside"
    #: fills the box; the rest is cropped, the same on both sides
    COVER = "cover"
    #: the whole image within the box; the rest is background
    PAD = "pad"


def background_from(text: str) -> str:
    """Return the canonical spelling of a background. Raises `ValueError`."""
    if not BACKGROUND.fullmatch(text):
        raise ValueError("not a colour")
    return WHITE if text.lower() == "#ffffff" else text.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How the images of one request are compressed."""

    #: 1 to 100 on Pillow's scale
    quality: int
    format: OutputFormat
    effort: Effort = Effort.BALANCED
    #: pixels; 0 is no limit
    max_width: int = 0
    max_height: int = 0
    fit: Fit = Fit.INSIDE
    #: as `background_from` returns it
    background: str = WHITE

    @property
    def box(self) -> tuple[int, int] | None:
        """Width and height to fill; None if an image must only fit inside the limits."""
        if self.fit is Fit.INSIDE or not (self.max_width and self.max_height):
            return None
        return self.max_width, self.max_height

    def box_fault(self, max_pixels: int) -> str | None:
        """Return what is wrong with the box, and how to fix it; None if nothing is."""
        if self.fit is Fit.INSIDE:
            return None
        if self.box is None:
            return f"{self.fit} needs both max_width and max_height above 0; set both, or use {Fit.INSIDE}"
        if self.max_width * self.max_height > max_pixels:
            return (
                f"the box of {self.max_width} × {self.max_height} pixels is larger than "
                f"compress.max_pixels ({max_pixels}); make max_width or max_height smaller"
            )
        return None

    def options(self) -> str:
        """Return one line for the options; equal options give equal lines.

        Options added later are left out at their default, so that older recipes keep their line.
        """
        line = f"q{self.quality};{self.format};{self.max_width}x{self.max_height}"
        added = ((self.effort, Effort.BALANCED), (self.fit, Fit.INSIDE), (self.background, WHITE))
        return ";".join([line, *(value for value, default in added if value != default)])

    def key(self) -> str:
        """Return one line, part of every file name; recipes that give the same bytes give the same line."""
        fit = self.fit if self.box else Fit.INSIDE
        background = self.background
        flattens = self.format is OutputFormat.JPEG
        if (flattens and background == NONE) or not (flattens or fit is Fit.PAD):
            background = WHITE
        return replace(self, fit=fit, background=background).options()
