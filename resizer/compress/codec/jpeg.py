"""Write a JPEG: by Pillow with libjpeg-turbo, or by libvips with mozjpeg."""

from typing import Final

import numpy as np
from PIL import Image, ImageFile

from resizer.compress.codec import vips
from resizer.compress.codec.chroma import has_thin_colours
from resizer.compress.codec.effort import Jpeg, setting_for
from resizer.compress.codec.pillow import save
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format

#: Pillow's numbers for chroma at full and at half size
FULL, HALF = 0, 2
#: Quality on Pillow's scale → mozjpeg's for the same fidelity: on 13 photos of four sources, the medians by
#: butteraugli; ssimulacra2 asks for one less. Above the last, trellis saves nothing.
TRELLIS: Final = {1: 2, 30: 36, 50: 58, 70: 74, 85: 88}
#: up to this quality and from this many pixels, trellis saves bytes of every photo; else both are tried
SURE: Final = 60
LITTLE: Final = 200_000
MOST_BYTES: Final = 6  # per pixel; noise at quality 100 takes 3.4


def write(image: Image.Image, profile: bytes | None, plan: Plan, *, halved: bool) -> bytes:
    """Return the file of an L, RGB or RGBX image; `halved` if the source stores chroma at half size."""
    full = not halved and has_thin_colours(image)
    setting = setting_for(plan.target, plan.effort, image.width * image.height)
    if setting != Jpeg.TRELLIS or vips.MISSING or plan.quality > max(TRELLIS):
        return _by_pillow(image, profile, plan.quality, full_chroma=full, optimize=setting != Jpeg.PLAIN)
    quality = trellis_quality(plan.quality)
    result = vips.jpeg(image, quality=quality, full_chroma=full, profile=profile)
    if not full and plan.quality <= SURE and image.width * image.height > LITTLE:
        return result
    other = _by_pillow(image, profile, plan.quality, full_chroma=full, optimize=True)
    return min(result, other, key=len)


def _by_pillow(
    image: Image.Image, profile: bytes | None, quality: int, *, full_chroma: bool, optimize: bool
) -> bytes:
    subsampling = FULL if full_chroma or image.mode == "L" else HALF
    usual = ImageFile.MAXBLOCK
    if optimize:
        # It needs a buffer for the whole file. Pillow's own is too small for noise at high quality.
        ImageFile.MAXBLOCK = max(usual, MOST_BYTES * image.width * image.height)
    try:
        return save(image, Format.JPEG, profile, quality=quality, subsampling=subsampling, optimize=optimize)
    finally:
        ImageFile.MAXBLOCK = usual


def trellis_quality(quality: int) -> int:
    """Return mozjpeg's quality for the same fidelity."""
    return round(float(np.interp(quality, [*TRELLIS], [*TRELLIS.values()])))
