"""Write a JPEG: by Pillow with libjpeg-turbo, or by libvips with mozjpeg."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from PIL import Image, ImageFile

from resizer.compress.codec import vips
from resizer.compress.codec.chroma import has_thin_colours
from resizer.compress.codec.effort import Jpeg, setting_for
from resizer.compress.codec.plan import Plan
from resizer.compress.codec.saving import saved
from resizer.containers.formats import Format

#: Pillow's numbers for chroma at full size and at half of it
FULL, HALF = 0, 2
#: Quality on Pillow's scale, and mozjpeg's for the same fidelity, measured on 13 photos of four sources: the
#: medians of what butteraugli asks for; ssimulacra2 asks for one less. Above the last, trellis saves nothing.
TRELLIS: Final = {1: 2, 30: 36, 50: 58, 70: 74, 85: 88}
#: quality up to which, and pixels from which on, that saves bytes of any photo; for others both are tried
SURE: Final = 60
LITTLE: Final = 200_000
#: more bytes than a pixel can take: noise at quality 100 takes 3.4
MOST_BYTES: Final = 6


def write(image: Image.Image, profile: bytes | None, plan: Plan, *, halved: bool) -> bytes:
    """Return the file of an L, RGB or RGBX image; `halved` where its chroma was stored at half size."""
    full = not halved and has_thin_colours(image)
    way = setting_for(plan.target, plan.effort, image.width * image.height)
    if way != Jpeg.TRELLIS or vips.MISSING or plan.quality > max(TRELLIS):
        return _by_pillow(image, profile, plan.quality, full_chroma=full, optimize=way != Jpeg.PLAIN)
    quality = trellis_quality(plan.quality)
    result = vips.jpeg(image, quality=quality, full_chroma=full, profile=profile)
    if not full and plan.quality <= SURE and image.width * image.height > LITTLE:
        return result
    other = _by_pillow(image, profile, plan.quality, full_chroma=full, optimize=True)
    return min(result, other, key=len)


def _by_pillow(
    image: Image.Image, profile: bytes | None, quality: int, *, full_chroma: bool, optimize: bool
) -> bytes:
    with _room(image, optimize=optimize):
        return saved(
            image,
            Format.JPEG,
            profile,
            quality=quality,
            subsampling=FULL if full_chroma or image.mode == "L" else HALF,
            optimize=optimize,
        )


def trellis_quality(quality: int) -> int:
    """Return mozjpeg's quality for the same fidelity."""
    return round(float(np.interp(quality, [*TRELLIS], [*TRELLIS.values()])))


@contextmanager
def _room(image: Image.Image, *, optimize: bool) -> Iterator[None]:
    """Have Pillow give the encoder a buffer for the whole file, which it wants where it optimizes.

    Pillow's own guess is too small for noise at high quality with chroma at full size.
    """
    usual = ImageFile.MAXBLOCK
    if optimize:
        ImageFile.MAXBLOCK = max(usual, MOST_BYTES * image.width * image.height)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = usual
