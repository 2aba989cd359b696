"""Set Pillow up, open images with it, and tell what it raises."""

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

from PIL import (
    AvifImagePlugin,
    Image,
    ImageFile,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,  # noqa: F401  importing it is what makes it known
)

from resizer.compress.codec.heif import open_heif
from resizer.containers import gif, metadata, tiff
from resizer.containers.formats import Format
from resizer.containers.metadata import ORIENTATIONS, UPRIGHT
from resizer.errors import CorruptImage, TooManyPixels, UnsupportedFormat

# the one limit is ours and comes before anything is decoded
Image.MAX_IMAGE_PIXELS = None
# a child for each core: threads of a decoder would only take turns
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# design tools write XMP of several megabytes; Pillow refuses the whole image beyond one
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20
# what is wrong with an image is told to whoever asked for it, not to the log
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# the other plugins that are needed, before the first child is forked
Image.preinit()

ORIENTATION = 0x0112  # EXIF tag

#: what Pillow's plugins raise for data that they cannot read
UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
#: what to do about a TIFF that readers take in different ways
EXPORT: Final = "export it with 8 bits a sample, RGB or grey, interleaved"
#: how decoders below Pillow say so, those that say it
EXHAUSTED: Final = "out of memory"


def open_image(data: bytes, kind: Format, max_pixels: int) -> ImageFile.ImageFile:
    """Open it without decoding a pixel; raises `TooManyPixels` and `UnsupportedFormat`."""
    frames = 1
    extent = None
    if kind is Format.GIF:
        # counted by ourselves: Pillow takes long for thousands of frames, and sees the canvas grow late
        extent = gif.measure(data)
    elif kind is Format.WEBP:
        # the decoder takes memory for the canvas as soon as it is opened
        extent = metadata.webp_extent(data)
    elif kind is Format.PNG:
        extent = (*struct.unpack_from(">II", data, 16), 1)
    elif kind is Format.TIFF and (layout := tiff.layout(data)) and not layout.is_certain:
        raise UnsupportedFormat(str(layout), EXPORT)
    if extent:
        check_pixels(*extent, max_pixels)
        frames = extent[2]
    image = open_heif(data) if kind is Format.HEIF else Image.open(BytesIO(data), formats=(kind.upper(),))
    if kind in (Format.PNG, Format.AVIF):
        frames = getattr(image, "n_frames", 1)
    check_pixels(*image.size, frames, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        width, height = tags.get(TiffImagePlugin.TILEWIDTH, 1), tags.get(TiffImagePlugin.TILELENGTH, 1)
        check_pixels(width, height, 1, max_pixels)
    return image


def check_pixels(width: int, height: int, frames: int, limit: int) -> None:
    if width * height * frames > limit:
        raise TooManyPixels(width, height, frames, limit)


def orientation_of(image: Image.Image) -> int:
    """Read it from EXIF alone, as browsers do; to TIFFs Pillow applies it while decoding."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ORIENTATION)
    except UNREADABLE:
        return UPRIGHT
    return orientation if isinstance(orientation, int) and orientation in ORIENTATIONS else UPRIGHT


@contextmanager
def damage_told() -> Iterator[None]:
    """Translate whatever Pillow raises for an image that it cannot read."""
    try:
        yield
    except UNREADABLE as error:
        told = str(error).lower()
        if EXHAUSTED in told:
            raise MemoryError from error
        cut_off = isinstance(error, EOFError) or "truncated" in told
        raise CorruptImage("it ends too early" if cut_off else "it cannot be decoded") from error


@contextmanager
def silent(kind: Format) -> Iterator[None]:
    """Keep libtiff from writing to standard error what it thinks of a file, a line for each row of it."""
    if kind is not Format.TIFF:
        yield
        return
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextmanager
def exhaustion_told() -> Iterator[None]:
    """Take a failure to write for a lack of memory, which the libraries below Pillow report so.

    Nothing else can be: the image is decoded, of a mode that is known and of a size that fits.
    """
    try:
        yield
    except UNREADABLE as error:
        raise MemoryError from error
