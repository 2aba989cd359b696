"""Detect pictures that would suffer from chroma at half size."""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

BLOCK: Final = 2  # pixels on each side that share their chroma where it is halved
#: Range of R−G or B−G within a block, and share of such blocks. Measured: coloured texts, charts and badges
#: have 0.03 to 11 %, photos at most 0.012 %; black text has none.
STRONG: Final = 160
SHARE: Final = 0.0002
#: pixels examined, spread over the height of the picture: 1.5 ms
ENOUGH: Final = 500_000
STRIPES: Final = 32  # examined of a larger picture
#: pixels of the largest picture examined: thin lines of a larger one are not seen, and full chroma costs an
#: encoder of AVIF half as much memory again
MOST: Final = 25_000_000
RED, GREEN, BLUE, ALPHA = range(4)
HALF: Final = 128  # alpha from which a pixel is visible


def has_halved_chroma(image: Image.Image) -> bool:
    """Say whether an image is a JPEG that stores chroma at less than full size."""
    # number, horizontal and vertical sampling of each component
    layers: list[tuple[int, ...]] = getattr(image, "layer", [])
    return len({layer[1:3] for layer in layers}) > 1


def has_thin_colours(image: Image.Image) -> bool:
    """Say whether an image has thin lines of strong colour, which chroma at half size would fade."""
    if image.mode not in ("RGB", "RGBX", "RGBA") or min(image.size) < BLOCK:
        return False
    if image.width * image.height > MOST:
        return False
    pixels = _sample(image)
    strong = (_ranges(pixels, RED) > STRONG) | (_ranges(pixels, BLUE) > STRONG)
    strong = strong[:, ::BLOCK]
    if image.mode == "RGBA":
        # colour that is hidden by transparency is arbitrary
        opaque = pixels[..., ALPHA] >= HALF
        strong &= opaque[::2, ::2] & opaque[1::2, ::2] & opaque[::2, 1::2] & opaque[1::2, 1::2]
    return bool(np.count_nonzero(strong) > SHARE * strong.size)


def _sample(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return rows of whole blocks: all rows, or evenly spread ones."""
    width, height = (side - side % BLOCK for side in image.size)
    rows = max(BLOCK, ENOUGH // width // STRIPES // BLOCK * BLOCK)
    if rows * STRIPES >= height:
        return np.asarray(image)[:height, :width]
    tops = [(height - rows) * stripe // (STRIPES - 1) // BLOCK * BLOCK for stripe in range(STRIPES)]
    # An array of all of a large picture would take as much memory as the picture.
    return np.concatenate([np.asarray(image.crop((0, top, width, top + rows))) for top in tops])


def _ranges(pixels: npt.NDArray[np.uint8], band: int) -> npt.NDArray[np.int16]:
    """Return how much a band's distance from green varies in the blocks that begin at each column."""
    distance = np.subtract(pixels[..., band], pixels[..., GREEN], dtype=np.int16)
    upper, lower = distance[::BLOCK], distance[1::BLOCK]
    most, least = np.maximum(upper, lower), np.minimum(upper, lower)
    # Every second column is computed in vain: that is faster than to pick the others from memory first.
    ranges: npt.NDArray[np.int16] = np.maximum(most[:, 1:], most[:, :-1])
    ranges -= np.minimum(least[:, 1:], least[:, :-1])
    return ranges
