"""Write a PNG: exactly where it has few colours, else with a palette that the quality decides."""

from typing import Final

import numpy as np
from PIL import Image

from resizer.compress.codec import vips
from resizer.compress.codec.effort import OCTREE, STEPS, setting_for
from resizer.compress.codec.exact import made_exact
from resizer.compress.codec.palettes import few_colours, octree
from resizer.compress.codec.pixels import PALETTE
from resizer.compress.codec.plan import Plan
from resizer.compress.codec.saving import saved
from resizer.containers.formats import Format

#: quality, and libimagequant's; from its 70 on soft shadows look smooth, and at 75 no photo of a product on
#: white that was measured looks worse than by octree
QUALITIES: Final = {1: 10, 50: 75, 99: 100}
#: its slowest search finds palettes as good for less
QUALITIES_OF_SLOWEST: Final = {1: 10, 50: 70, 99: 100}
DITHER: Final = 0.0  # with it, edges look frayed and files are a sixth larger
SLOWEST: Final = STEPS[Format.PNG][0].setting
SLOWEST_DEFLATE: Final = 9  # level of zlib
USUAL_DEFLATE: Final = 6


def write(image: Image.Image, profile: bytes | None, plan: Plan, source_size: int) -> bytes:
    """Return the file; `source_size` is the number of bytes of the source."""
    if image.mode == "LA" and not plan.lossless_png:
        image = image.convert("RGBA")
    setting = setting_for(plan.target, plan.effort, image.width * image.height)
    level = SLOWEST_DEFLATE if setting == SLOWEST else USUAL_DEFLATE
    if image.mode in ("RGB", "RGBA"):
        if few := few_colours(image):
            image = few
        elif not plan.lossless_png:
            result = saved(_reduced(image, plan.quality, setting), Format.PNG, profile, compress_level=level)
            # Lossless takes three times as long and is seldom the smaller one. Where even the reduced one
            # takes half of the source, it may be: in drawings with smooth shades.
            if not plan.may_keep or 2 * len(result) < source_size:
                return result
            return min(result, saved(image, Format.PNG, profile, compress_level=level), key=len)
    return saved(image, Format.PNG, profile, compress_level=level)


def _reduced(image: Image.Image, quality: int, setting: int) -> Image.Image:
    if setting == OCTREE or vips.MISSING:
        palette = octree(image, PALETTE)
    else:
        qualities = QUALITIES_OF_SLOWEST if setting == SLOWEST else QUALITIES
        sought = round(float(np.interp(quality, [*qualities], [*qualities.values()])))
        palette = vips.quantized(image, quality=sought, effort=setting, dither=DITHER)
    return made_exact(image, palette)
