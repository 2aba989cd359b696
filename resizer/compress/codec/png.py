"""Write a PNG: exactly if it has few colours, else with a palette as good as the quality asks."""

from typing import Final

import numpy as np
from PIL import Image

from resizer.compress.codec import vips
from resizer.compress.codec.effort import OCTREE, STEPS, setting_for
from resizer.compress.codec.exact import restore_exact
from resizer.compress.codec.palettes import exact_palette, octree
from resizer.compress.codec.pillow import save
from resizer.compress.codec.pixels import PALETTE
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format

#: Quality → libimagequant's. From its 70 on soft shadows look smooth; at 75 none of the measured photos of
#: products on white looks worse than by octree.
QUALITIES: Final = {1: 10, 50: 75, 99: 100}
#: its slowest search finds palettes as good at a lower quality
QUALITIES_OF_SLOWEST: Final = {1: 10, 50: 70, 99: 100}
DITHER: Final = 0.0  # with dithering, edges look frayed and files are a sixth larger
SLOWEST: Final = STEPS[Format.PNG][0].setting
SLOWEST_DEFLATE: Final = 9  # level of zlib
USUAL_DEFLATE: Final = 6


def write(image: Image.Image, profile: bytes | None, plan: Plan, source_size: int) -> bytes:
    """Return the file; `source_size` is in bytes."""
    if image.mode == "LA" and not plan.lossless_png:
        image = image.convert("RGBA")
    setting = setting_for(plan.target, plan.effort, image.width * image.height)
    level = SLOWEST_DEFLATE if setting == SLOWEST else USUAL_DEFLATE
    if image.mode in ("RGB", "RGBA"):
        if exact := exact_palette(image):
            image = exact
        elif not plan.lossless_png:
            result = save(_reduce(image, plan.quality, setting), Format.PNG, profile, compress_level=level)
            # Lossless takes three times as long and is seldom smaller. It may be where even the reduced image
            # takes half of the source's bytes: in drawings with smooth shades.
            if not plan.may_keep or 2 * len(result) < source_size:
                return result
            return min(result, save(image, Format.PNG, profile, compress_level=level), key=len)
    return save(image, Format.PNG, profile, compress_level=level)


def _reduce(image: Image.Image, quality: int, setting: int) -> Image.Image:
    if setting == OCTREE or vips.MISSING:
        palette = octree(image, PALETTE)
    else:
        qualities = QUALITIES_OF_SLOWEST if setting == SLOWEST else QUALITIES
        wanted = round(float(np.interp(quality, [*qualities], [*qualities.values()])))
        palette = vips.quantize(image, quality=wanted, effort=setting, dither=DITHER)
    return restore_exact(image, palette)
