"""Call libvips for what Pillow's encoders lack: mozjpeg's trellis, and libimagequant's palettes.

None of it may run before a pool child is forked: its threads do not survive a fork. Importing is safe.
"""

import os
from functools import cache
from io import BytesIO
from typing import Any, Final

from PIL import Image

from resizer.compress.codec.pillow import UNREADABLE

# Read at the import. There is a child for each core: threads would only take turns.
os.environ.setdefault("VIPS_CONCURRENCY", "1")
#: why libvips cannot be used; empty if it can
MISSING = ""
try:
    import pyvips
except (ImportError, OSError) as error:
    pyvips = None
    MISSING = str(error)

#: quantisation tables of mozjpeg; 3 is ImageMagick's, by N. Robidoux
TABLES: Final = 3
#: Pillow's mode → libvips's name of its colours
COLOURS: Final = {"L": "b-w", "RGB": "srgb", "RGBA": "srgb"}


def jpeg(image: Image.Image, *, quality: int, full_chroma: bool, profile: bytes | None) -> bytes:
    """Return a sequential JPEG of an L, RGB or RGBX image by mozjpeg, with coefficients chosen by trellis."""
    return _write(
        image,
        "L" if image.mode == "L" else "RGB",
        ".jpg",
        profile,
        Q=quality,
        optimize_coding=True,
        trellis_quant=True,
        quant_table=TABLES,
        subsample_mode="off" if full_chroma else "on",
    )


def webp(image: Image.Image, *, quality: int, method: int, profile: bytes | None) -> bytes:
    """Return a WebP of an RGB or RGBA image; its halved chroma is fitted to the look of edges."""
    return _write(image, image.mode, ".webp", profile, Q=quality, effort=method, smart_subsample=True)


def quantize(image: Image.Image, *, quality: int, effort: int, dither: float) -> Image.Image:
    """Return an RGB or RGBA image with a palette of at most 256 colours."""
    options = {"palette": True, "bitdepth": 8, "Q": quality, "effort": effort, "dither": dither}
    data = _write(image, image.mode, ".png", None, compression=0, filter="none", **options)
    result = Image.open(BytesIO(data), formats=("PNG",))
    result.load()
    return result


def _write(image: Image.Image, mode: str, extension: str, profile: bytes | None, **options: Any) -> bytes:
    pixels, colours = image.tobytes("raw", mode), COLOURS[mode]
    source = _library().Image.new_from_memory(pixels, *image.size, len(mode), "uchar")
    picture = source.copy(interpretation=colours)
    try:
        if profile:
            picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        data: bytes = picture.write_to_buffer(extension, keep="icc" if profile else "none", **options)
    except (*UNREADABLE, pyvips.Error) as error:
        # There is no other cause: the image is decoded, its mode is known and its size is within the limits.
        raise MemoryError from error
    return data


@cache
def _library() -> Any:
    # Its results are never asked for again.
    pyvips.cache_set_max(0)
    return pyvips
