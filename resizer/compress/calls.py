"""The functions that pool children run.

They import the codec when called, so that the server starts sooner without it and stays smaller.
"""

import os
from dataclasses import dataclass

from resizer.errors import CorruptImage, StorageFailure
from resizer.models import Compressed, Recipe
from resizer.storage.base import EXTENSIONS

# ruff: noqa: PLC0415  as the docstring says


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressResult:
    """The compressed form of one source."""

    compressed: Compressed
    #: it was already stored, so that nothing was written
    found: bool = False
    #: name of a stored file that is damaged and that this result replaces
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
) -> CompressResult:
    """Compress to the path `target`, unless the storage's folder already holds the result.

    A storage without a folder is not searched. The search runs in the child because it would cost the server
    a trip to a thread. Raises an `ImageError`, or `MemoryError`.
    """
    from resizer.compress import codec

    damaged = None
    for extension in EXTENSIONS if folder else ():
        path = f"{folder}/{stem}.{extension}"
        if not os.path.isfile(path):  # noqa: PTH113 - seven Path objects per image would be slower
            continue
        try:
            described = codec.describe_file(path, input_bytes=input_bytes, max_pixels=max_pixels)
            return CompressResult(compressed=described, found=True)
        except CorruptImage:
            damaged = f"{stem}.{extension}"
        except StorageFailure:
            # It may have been deleted in between, with the last request that used it.
            if os.path.isfile(path):  # noqa: PTH113 - as above
                raise
    compressed = codec.compress_file(source, target, stem=stem, recipe=recipe, max_pixels=max_pixels)
    return CompressResult(compressed=compressed, damaged=damaged)


def missing_encoders() -> str:
    """Return why a child cannot use libvips; empty if it can."""
    from resizer.compress.codec import vips

    return vips.MISSING
