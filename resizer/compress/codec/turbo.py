"""Decode JPEGs by libjpeg-turbo into memory that Pillow uses without a copy.

Pillow's own decoder copies each row several times; this takes two thirds of its time. Chroma stored at half
size is only repeated, so that halving it again restores it: fine interpolation would smooth it on the way.

Measured and not used, because ssimulacra2 and butteraugli see a loss: decoding by the fast DCT (2 to 5 % of
the time), and simplejpeg's encoder, which always takes the fast DCT (4 %).
"""

from typing import Final

import simplejpeg
from PIL import Image

#: colour space of the file → layout decoded to; Pillow decodes the others, which shops do not use
LAYOUTS: Final = {"YCbCr": "RGBX", "Gray": "GRAY"}
#: layout → Pillow's modes for the file and for the decoded image
MODES: Final = {"RGBX": ("RGB", "RGBX"), "GRAY": ("L", "L")}
SUBSAMPLINGS: Final = frozenset({"444", "422", "420", "440", "Gray"})
END: Final = b"\xff\xd9"


def decode(data: bytes, *, mode: str, size: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG as an image of mode L or RGBX; None if Pillow must read it.

    `mode` and `size` are those that Pillow read in its header. None is also returned for the slightest
    damage; Pillow decides whether it matters. Raises `MemoryError`.
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


def with_end_mark(data: bytes, mode: str) -> bytes | None:
    """Complete a JPEG, of this mode of Pillow's, that lacks only its end mark; None if it lacks pixels.

    Browsers show such a JPEG; Pillow takes it for truncated.
    """
    whole = data.removesuffix(END[:1]) + END
    try:
        # libjpeg-turbo's strict decoder decides: Pillow would accept half of a picture.
        simplejpeg.decode_jpeg(whole, {"L": "GRAY", "CMYK": "CMYK"}.get(mode, "RGB"))
    except ValueError:
        return None
    return whole
