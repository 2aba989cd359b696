"""Compress one image: bytes and a recipe in, bytes out; runs in a pool child, and alone knows Pillow.

The road of an image: `reader` opens it and counts its pixels, the plan says what is to become of it,
`pixels`, `colours` and `ground` bring it into a form that can be written, `writer` and `animation` write it
as hard as `effort` says; `compressing` leads.
"""

from resizer.compress.codec.compressing import Encoded, compress, compress_file, describe_file

__all__ = ["Encoded", "compress", "compress_file", "describe_file"]
