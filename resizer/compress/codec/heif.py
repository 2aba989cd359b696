"""Open HEIC by pi-heif, which the extra `resizer[heif]` installs: libheif and libde265 (LGPL), no encoder.

Its sibling pillow-heif also contains the encoder x265, which is under the GPL.
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
    # There is a child for each core: threads of a decoder would only take turns.
    pi_heif.options.DECODE_THREADS = 1
    # Only the picture is used, and a hostile file may hold thousands of the others.
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False

#: whether the extra is installed
AVAILABLE: Final = pi_heif is not None
EXTRA: Final = "the server reads it after pip install 'resizer[heif]'"
#: HEVC, and images composed of it or turned
KINDS: Final = frozenset({b"hvc1", b"grid", b"iden", b"iovl"})


def open_heif(data: bytes) -> ImageFile.ImageFile:
    """Open the primary picture, upright, without decoding a pixel. Raises `UnsupportedFormat`."""
    if not AVAILABLE:
        raise UnsupportedFormat("HEIC", EXTRA)
    kind = boxes.primary_kind(data)
    if kind is None and b"moov" in data[:4096]:
        raise UnsupportedFormat("a HEIF sequence without a still picture")
    if kind is not None and kind not in KINDS:
        raise UnsupportedFormat(f"a HEIF of {kind.decode('ascii', 'replace')!r}")
    try:
        for text in boxes.item_texts(data):
            text.decode()
    except UnicodeDecodeError as error:
        # Text that is not UTF-8 makes pi-heif 1.4 end the process.
        raise CorruptImage("the name of a part is not UTF-8") from error
    image: ImageFile.ImageFile = pi_heif.HeifImageFile(BytesIO(data))
    return image
