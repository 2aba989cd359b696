"""Open HEIC by pi-heif, which the extra `resizer[heif]` brings: libheif and libde265 (LGPL), and no encoder.

Its sibling pillow-heif holds the encoder x265 as well, which is under the GPL.
"""

from io import BytesIO
from typing import Final

from PIL import ImageFile

from resizer.containers import boxes
from resizer.errors import CorruptImage, UnsupportedFormat

try:
    import pi_heif
except ImportError:
    pi_heif = None
else:
    # a child for each core: threads of a decoder would only take turns
    pi_heif.options.DECODE_THREADS = 1
    # the picture alone is of use, and a hostile file may hold thousands of the others
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False

#: whether the extra is installed
AVAILABLE: Final = pi_heif is not None
EXTRA: Final = "the server reads it after pip install 'resizer[heif]'"
#: HEVC, and what is put together or turned from it
KINDS: Final = frozenset({b"hvc1", b"grid", b"iden", b"iovl"})


def open_heif(data: bytes) -> ImageFile.ImageFile:
    """Open the primary picture, upright, without decoding a pixel; raises `UnsupportedFormat`."""
    if not AVAILABLE:
        raise UnsupportedFormat("HEIC", EXTRA)
    kind = boxes.primary_kind(data)
    if kind is None and b"moov" in data[:4096]:
        raise UnsupportedFormat("a HEIF sequence without a still picture")
    if kind is not None and kind not in KINDS:
        raise UnsupportedFormat(f"a HEIF of {kind.decode('ascii', 'replace')!r}")
    if not all(map(_is_text, boxes.item_texts(data))):
        # pi-heif 1.4 ends the process at one
        raise CorruptImage("the name of a part is no text")
    image: ImageFile.ImageFile = pi_heif.HeifImageFile(BytesIO(data))
    return image


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
