"""Give images palettes: exact ones where they have few colours, else by octree."""

from typing import Any

from PIL import Image

from resizer.compress.codec.decoding import exhaustion_told
from resizer.compress.codec.pixels import PALETTE


def few_colours(image: Image.Image) -> Image.Image | None:
    """Return the same RGB or RGBA with a palette; None where it has too many colours."""
    if image.getcolors(PALETTE) is None:
        return None
    opaque = indexed(image.convert("RGB"), PALETTE)
    if image.mode == "RGB":
        return opaque
    # Median cut takes no alpha. So number the colours, let it see numbers and alphas as colours, and give
    # the pairs that it found their true names.
    numbers = Image.frombytes("L", image.size, opaque.tobytes())
    alpha = image.getchannel("A")
    pairs = indexed(Image.merge("RGB", (numbers, alpha, alpha)), PALETTE)
    colours, found = palette_of(opaque), palette_of(pairs)
    names = [
        colours[3 * number : 3 * number + 3] + bytes([opacity])
        for number, opacity in zip(found[::3], found[1::3], strict=True)
    ]
    pairs.putpalette(b"".join(names), "RGBA")
    return pairs


def indexed(image: Image.Image, room: int, *, exact: bool = True) -> Image.Image:
    """Give an RGB image a palette; exactly, that takes no more colours than there is room for."""
    # median cut is exact where each colour gets a box of its own, and slow where there are many
    result = _quantized(image, room, Image.Quantize.MEDIANCUT) if exact else octree(image, room)
    highest: Any = result.getextrema()
    # with 16 colours a pixel takes 4 bits
    result.putpalette(palette_of(result)[: 3 * (highest[1] + 1)])
    return result


def octree(image: Image.Image, room: int) -> Image.Image:
    """Give an RGB or RGBA image a palette of at most so many colours."""
    return _quantized(image, room, Image.Quantize.FASTOCTREE)


def palette_of(image: Image.Image) -> bytes:
    return bytes(image.palette.palette) if image.palette else b""


def _quantized(image: Image.Image, room: int, method: Image.Quantize) -> Image.Image:
    with exhaustion_told():
        return image.quantize(room, method, dither=Image.Dither.NONE)
