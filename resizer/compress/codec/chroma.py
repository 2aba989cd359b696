"""Tell what halving the size of a picture's chroma would do to it."""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

BLOCK: Final = 2  # pixels on each side that share their chroma where it is halved
#: Range of R−G or B−G within a block, and share of such blocks. Measured: texts, charts and badges in colour
#: have 0.03 to 11 %, photos at most 0.012 %; black text has none, and needs none.
STRONG: Final = 160
SHARE: Final = 0.0002
#: pixels that are examined, spread over the height of the picture: 2 ms
ENOUGH: Final = 500_000
STRIPES: Final = 32  # of a larger picture
#: pixels of the largest picture that is looked at: what is thin in a larger one nobody sees, and to keep its
#: chroma costs an encoder of AVIF half as much memory again
MOST: Final = 25_000_000
RED, GREEN, BLUE, ALPHA = range(4)
HALF: Final = 128  # opaque enough to be seen


def has_halved_chroma(image: Image.Image) -> bool:
    """Say whether it is a JPEG that stores its chroma at less than full size."""
    # number, horizontal and vertical sampling of each component
    layers: list[tuple[int, ...]] = getattr(image, "layer", [])
    return len({layer[1:3] for layer in layers}) > 1


def has_thin_colours(image: Image.Image) -> bool:
    """Say whether it has thin lines of strong colour, which halving its chroma would fade."""
    if image.mode not in ("RGB", "RGBX", "RGBA") or min(image.size) < BLOCK:
        return False
    if image.width * image.height > MOST:
        return False
    pixels = _looked_at(image)
    upper, lower = pixels[::BLOCK], pixels[1::BLOCK]
    strong = _ranges(upper, lower, RED) > STRONG
    strong |= _ranges(upper, lower, BLUE) > STRONG
    if image.mode == "RGBA":
        # what colour hides behind nothing is left to chance
        strong &= _seen(upper) & _seen(lower)
    return bool(np.count_nonzero(strong) > SHARE * strong.size)


def _looked_at(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return rows of whole blocks: all there are, or evenly spread ones."""
    width, height = (side - side % BLOCK for side in image.size)
    rows = max(BLOCK, ENOUGH // width // STRIPES // BLOCK * BLOCK)
    if rows * STRIPES >= height:
        return np.asarray(image)[:height, :width]
    tops = [(height - rows) * stripe // (STRIPES - 1) // BLOCK * BLOCK for stripe in range(STRIPES)]
    # a copy of all of a large picture would take as much memory as the picture
    return np.concatenate([np.asarray(image.crop((0, top, width, top + rows))) for top in tops])


def _seen(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Say of each block's half row whether both of its pixels are more opaque than clear."""
    opaque = rows[..., ALPHA] >= HALF
    seen: npt.NDArray[np.bool_] = opaque[:, ::BLOCK] & opaque[:, 1::BLOCK]
    return seen


def _ranges(upper: npt.NDArray[np.uint8], lower: npt.NDArray[np.uint8], band: int) -> npt.NDArray[np.int16]:
    """Return for each block by how much a band's distance from green varies."""
    above, below = (row[..., band].astype(np.int16) - row[..., GREEN] for row in (upper, lower))
    most, least = np.maximum(above, below), np.minimum(above, below)
    most = np.maximum(most[:, ::BLOCK], most[:, 1::BLOCK])
    least = np.minimum(least[:, ::BLOCK], least[:, 1::BLOCK])
    ranges: npt.NDArray[np.int16] = most - least
    return ranges
