"""Compress an image with plain Pillow; imports nothing else, to keep its processes small."""

from pathlib import Path

from PIL import Image, ImageOps

QUALITY = 50  # the default of the service


def compress_plainly(source: Path, target: Path, *, optimize: bool = False) -> int:
    """Compress one file to another; returns the number of bytes written."""
    with Image.open(source) as image:
        ImageOps.exif_transpose(image).save(target, quality=QUALITY, optimize=optimize)
    return target.stat().st_size
