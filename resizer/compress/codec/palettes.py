"""Give images palettes: exact ones if they have few colours, else by octree."""

from typing import Any

from PIL import Image

from resizer.compress.codec.pillow import encoder_errors
from resizer.compress.codec.pixels import PALETTE


def exact_palette(image: Image.Image) -> Image.Image | None:
    """Return the same RGB or RGBA image with a palette; None if it has too many colours."""
    if image.getcolors(PALETTE) is None:
        return None
    opaque = with_palette(image.convert("RGB"), PALETTE)
    if image.mode == "RGB":
        return opaque
    # Median cut ignores alpha. So number the colours, let it treat pairs of number and alpha as colours, and
    # translate the pairs that it found.
    numbers = Image.frombytes("L", image.size, opaque.tobytes())
    alpha = image.getchannel("A")
    pairs = with_palette(Image.merge("RGB", (numbers, alpha, alpha)), PALETTE)
    colours, found = palette_of(opaque), palette_of(pairs)
    entries = [
        colours[3 * number : 3 * number + 3] + bytes([opacity])
        for number, opacity in zip(found[::3], found[1::3], strict=True)
    ]
    pairs.putpalette(b"".join(entries), "RGBA")
    return pairs


def with_palette(image: Image.Image, size: int, *, exact: bool = True) -> Image.Image:
    """Give an RGB image a palette; an exact one requires that it has at most `size` colours."""
    # Median cut is exact if each colour gets a box of its own, and slow if there are many.
    result = _quantize(image, size, Image.Quantize.MEDIANCUT) if exact else octree(image, size)
    highest: Any = result.getextrema()
    # With 16 colours a pixel takes 4 bits.
    result.putpalette(palette_of(result)[: 3 * (highest[1] + 1)])
    return result


def octree(image: Image.Image, size: int) -> Image.Image:
    """Give an RGB or RGBA image a palette of at most `size` colours."""
    return _quantize(image, size, Image.Quantize.FASTOCTREE)


def palette_of(image: Image.Image) -> bytes:
    return bytes(image.palette.palette) if image.palette else b""


def _quantize(image: Image.Image, size: int, method: Image.Quantize) -> Image.Image:
    with encoder_errors():
        return image.quantize(size, method, dither=Image.Dither.NONE)
