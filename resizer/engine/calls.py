"""What the children are asked to do.

The codec is loaded there alone: the server's own process starts sooner without it, and stays smaller.
"""

from resizer.models import Compressed, Recipe

# ruff: noqa: PLC0415  see above


def compress_file(source: str, target: str, *, stem: str, recipe: Recipe, max_pixels: int) -> Compressed:
    """Do what `resizer.images.codec.compress_file` does."""
    from resizer.images import codec

    return codec.compress_file(source, target, stem=stem, recipe=recipe, max_pixels=max_pixels)


def describe_file(path: str, *, input_bytes: int, max_pixels: int) -> Compressed:
    """Do what `resizer.images.codec.describe_file` does."""
    from resizer.images import codec

    return codec.describe_file(path, input_bytes=input_bytes, max_pixels=max_pixels)
