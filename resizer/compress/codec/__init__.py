"""Compress one image: bytes and a recipe in, bytes out. Runs in a pool child; only it imports Pillow.

`pillow` opens the image and counts its pixels, `plan` decides what it becomes, `pixels`, `colours` and
`background` convert it, and `encoding` and `animation` write it with the settings of `effort`; `compressing`
calls them.
"""

from resizer.compress.codec.compressing import Encoded, compress, compress_file, describe_file

__all__ = ["Encoded", "compress", "compress_file", "describe_file"]
