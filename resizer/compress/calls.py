"""What the children are asked to do.

The codec is loaded there alone: the server's own process starts sooner without it, and stays smaller.
"""

import os
from dataclasses import dataclass

from resizer.errors import CorruptImage, StorageFailure
from resizer.models import Compressed, Recipe
from resizer.storage.base import EXTENSIONS

# ruff: noqa: PLC0415  see above


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a child has made of a source, or found made of it."""

    compressed: Compressed
    #: it was in the storage, and nothing was written
    found: bool = False
    #: name of a file in the storage that is no image any more, and that the new one is to replace
    damaged: str | None = None


def make_file(
    source: str,
    target: str,
    *,
    folder: str | None,
    stem: str,
    input_bytes: int,
    recipe: Recipe,
    max_pixels: int,
) -> Made:
    """Compress to the path `target`, unless the storage's folder has what these bytes and this recipe give.

    Without a folder nobody looks. Raises an `ImageError`, or `MemoryError`. Children look: for the server it
    is a trip to a thread.
    """
    from resizer.compress import codec

    damaged = None
    for extension in EXTENSIONS if folder else ():
        path = f"{folder}/{stem}.{extension}"
        if not os.path.isfile(path):  # noqa: PTH113 - seven paths an image, made for nothing
            continue
        try:
            described = codec.describe_file(path, input_bytes=input_bytes, max_pixels=max_pixels)
            return Made(compressed=described, found=True)
        except CorruptImage:
            damaged = f"{stem}.{extension}"
        except StorageFailure:
            # it may have been deleted meanwhile, with the last request that used it
            if os.path.isfile(path):  # noqa: PTH113 - as above
                raise
    compressed = codec.compress_file(source, target, stem=stem, recipe=recipe, max_pixels=max_pixels)
    return Made(compressed=compressed, damaged=damaged)


def missing_encoders() -> str:
    """Return why a child cannot use libvips; empty where it can."""
    from resizer.compress.codec import vips

    return vips.MISSING
