"""Configure Pillow, open and save images with it, and translate the errors that it raises."""

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final

from PIL import (
    AvifImagePlugin,
    Image,
    ImageFile,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,  # noqa: F401  importing it registers it
)

from resizer.compress.codec.heif import open_heif
from resizer.containers import avif, gif, metadata, tiff
from resizer.containers.formats import Format
from resizer.containers.metadata import ORIENTATIONS, UPRIGHT
from resizer.errors import CorruptImage, TooManyPixels, UnsupportedFormat

# Our own limit applies before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
# There is a child for each core: threads of a decoder would only take turns.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# Design tools write XMP of several megabytes; beyond one, Pillow refuses the whole image.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20
# Faults of an image are reported with the image, not in the log.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# Loads the other plugins before the first child is forked.
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
#: advice for a TIFF that readers interpret differently
EXPORT: Final = "export it with 8 bits a sample, RGB or grey, interleaved"
#: in the messages of decoders that report a lack of memory
EXHAUSTED: Final = "out of memory"


def open_image(data: bytes, kind: Format, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image without decoding a pixel. Raises `TooManyPixels` and `UnsupportedFormat`."""
    extent = None
    if kind is Format.GIF:
        # Pillow is slow to count thousands of frames, and sees late that the canvas grows.
        extent = gif.measure(data)
    elif kind is Format.WEBP:
        # The decoder allocates the canvas when it opens the file.
        extent = metadata.webp_extent(data)
    elif kind is Format.PNG:
        extent = (*struct.unpack_from(">II", data, 16), 1)
    elif kind is Format.TIFF and (layout := tiff.layout(data)) and not layout.is_certain:
        raise UnsupportedFormat(str(layout), EXPORT)
    if extent:
        check_pixels(*extent, max_pixels)
    image = open_heif(data) if kind is Format.HEIF else Image.open(BytesIO(data), formats=(kind.upper(),))
    frames = extent[2] if extent else 1
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
    """Return the orientation that EXIF gives, as browsers do; Pillow applies a TIFF's when it decodes."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ORIENTATION)
    except UNREADABLE:
        return UPRIGHT
    return orientation if isinstance(orientation, int) and orientation in ORIENTATIONS else UPRIGHT


def save(image: Image.Image, target: Format, profile: bytes | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    with encoder_errors():
        image.save(buffer, target.upper(), icc_profile=profile, **options)
    data = buffer.getvalue()
    return avif.undated(data) if target is Format.AVIF else data


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Raise `CorruptImage`, or `MemoryError`, for whatever Pillow raises for an image that it cannot read."""
    try:
        yield
    except UNREADABLE as error:
        message = str(error).lower()
        if EXHAUSTED in message:
            raise MemoryError from error
        cut_off = isinstance(error, EOFError) or "truncated" in message
        raise CorruptImage("it ends too early" if cut_off else "it cannot be decoded") from error


@contextmanager
def encoder_errors() -> Iterator[None]:
    """Raise `MemoryError` for whatever Pillow raises when it writes.

    There is no other cause: the image is decoded, its mode is known and its size is within the limits.
    """
    try:
        yield
    except UNREADABLE as error:
        raise MemoryError from error


@contextmanager
def libtiff_silenced(kind: Format) -> Iterator[None]:
    """Keep libtiff from writing its warnings to standard error, one for each row of a TIFF."""
    if kind is not Format.TIFF:
        yield
        return
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
