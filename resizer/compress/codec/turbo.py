"""Decode a JPEG by libjpeg-turbo into memory that Pillow uses as it is.

Pillow's own decoder copies each row several times; this takes two thirds of its time. Chroma that the
source holds at half size is only repeated, so that halving it again gives back what was there: the fine
interpolation would smooth it on the way.
"""

from typing import Final

import simplejpeg
from PIL import Image

#: what is seen in shops; whatever else there is, Pillow reads: space → layout decoded to
LAYOUTS: Final = {"YCbCr": "RGBX", "Gray": "GRAY"}
#: Pillow's names for the modes of the file and of what is decoded
MODES: Final = {"RGBX": ("RGB", "RGBX"), "GRAY": ("L", "L")}
SUBSAMPLINGS: Final = frozenset({"444", "422", "420", "440", "Gray"})


def decode(data: bytes, *, mode: str, size: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG of mode L or RGBX; None where Pillow has to read it.

    `mode` and `size` are what Pillow has read in its head. Nothing is returned for what is damaged, however
    little: Pillow tells whether that can be got over. Raises `MemoryError`.
    """
    try:
        height, width, space, subsampling = simplejpeg.decode_jpeg_header(data)
        layout = LAYOUTS.get(space)
        if layout is None or subsampling not in SUBSAMPLINGS:
            return None
        expected, decoded = MODES[layout]
        if (expected, (width, height)) != (mode, size):
            return None
        pixels = simplejpeg.decode_jpeg(data, layout, fastupsample=True)
    except ValueError:
        return None
    return Image.frombuffer(decoded, size, pixels, "raw", decoded, 0, 1)
