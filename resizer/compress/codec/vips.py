"""Call libvips for what Pillow's encoders lack: mozjpeg's trellis, and libimagequant's palettes.

Nothing of it may run before a pool child is forked: its threads do not survive a fork. The import is safe.
"""

import os
from functools import cache
from io import BytesIO
from typing import Any, Final

from PIL import Image

from resizer.compress.codec.decoding import UNREADABLE

# read at the import: a child for each core, so that threads would only take turns
os.environ.setdefault("VIPS_CONCURRENCY", "1")
try:
    import pyvips
except (ImportError, OSError) as error:
    pyvips = None
    #: why it cannot be used; empty where it can
    MISSING: str = str(error)
else:
    MISSING = ""

#: quantisation tables of mozjpeg; 3 is ImageMagick's, by N. Robidoux
TABLES: Final = 3
BITS: Final = 8  # of a palette's entry numbers
#: Pillow's mode → how vips names its colours
COLOURS: Final = {"L": "b-w", "RGB": "srgb", "RGBA": "srgb"}


def jpeg(image: Image.Image, *, quality: int, full_chroma: bool, profile: bytes | None) -> bytes:
    """Return a sequential JPEG of an L, RGB or RGBX image by mozjpeg, its coefficients chosen by trellis."""
    picture = _taken(image, "L" if image.mode == "L" else "RGB")
    return _written(
        picture,
        ".jpg",
        profile,
        Q=quality,
        optimize_coding=True,
        trellis_quant=True,
        quant_table=TABLES,
        subsample_mode="off" if full_chroma else "on",
    )


def webp(image: Image.Image, *, quality: int, method: int, profile: bytes | None) -> bytes:
    """Return a WebP of an RGB or RGBA image whose halved chroma is fitted to what its edges look like."""
    picture = _taken(image, image.mode)
    return _written(picture, ".webp", profile, Q=quality, effort=method, smart_subsample=True)


def quantized(image: Image.Image, *, quality: int, effort: int, dither: float) -> Image.Image:
    """Return an RGB or RGBA image with a palette of at most 256 colours."""
    data = _written(
        _taken(image, image.mode),
        ".png",
        None,
        palette=True,
        bitdepth=BITS,
        Q=quality,
        effort=effort,
        dither=dither,
        compression=0,
        filter="none",
    )
    result = Image.open(BytesIO(data), formats=("PNG",))
    result.load()
    return result


def _taken(image: Image.Image, mode: str) -> Any:
    pixels = image.tobytes("raw", mode)
    bands = len(mode)
    return (
        _ready().Image.new_from_memory(pixels, *image.size, bands, "uchar").copy(interpretation=COLOURS[mode])
    )


def _written(picture: Any, extension: str, profile: bytes | None, **options: Any) -> bytes:
    try:
        if profile:
            picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        data: bytes = picture.write_to_buffer(extension, keep="icc" if profile else "none", **options)
    except (*UNREADABLE, pyvips.Error) as error:
        # nothing else can fail: the image is decoded, of a mode that is known and of a size that fits
        raise MemoryError from error
    return data


@cache
def _ready() -> Any:
    # what it has computed is never asked for again
    pyvips.cache_set_max(0)
    return pyvips
