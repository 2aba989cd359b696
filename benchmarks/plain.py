"""Compress one image with plain Pillow; a module of its own, so that its processes import nothing else."""

from pathlib import Path

from PIL import Image, ImageOps

QUALITY = 50  # as the service's default


def compress_plainly(source: Path, target: Path, *, optimize: bool = False) -> int:
    """Compress from one file to another; returns the number of bytes written."""
    with Image.open(source) as image:
        ImageOps.exif_transpose(image).save(target, quality=QUALITY, optimize=optimize)
    return target.stat().st_size
