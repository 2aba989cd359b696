"""Write one picture in any format but GIF."""

from io import BytesIO
from typing import Any

from PIL import Image

from resizer.images import avif
from resizer.images.codec.effort import options_for
from resizer.images.codec.pixels import PALETTE, straight
from resizer.images.codec.reader import exhaustion_told
from resizer.images.formats import Format
from resizer.images.plan import Plan

NOTHING = b""  # the result where only the source will do


def encode(image: Image.Image, profile: bytes | None, plan: Plan, source_size: int) -> bytes:
    """Return the file; `source_size` is the number of bytes of the source."""
    match plan.target:
        case Format.PNG:
            return _png(image, profile, plan, source_size)
        case Format.JPEG:
            return saved(straight(image), plan.target, profile, quality=plan.quality)
        case _:
            return saved(straight(image), plan.target, profile, **options_for(plan))


def saved(image: Image.Image, target: Format, profile: bytes | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    with exhaustion_told():
        image.save(buffer, target.upper(), icc_profile=profile, **options)
    data = buffer.getvalue()
    return avif.undated(data) if target is Format.AVIF else data


def _png(image: Image.Image, profile: bytes | None, plan: Plan, source_size: int) -> bytes:
    if image.mode == "LA" and not plan.lossless_png:
        image = image.convert("RGBA")
    if image.mode in ("RGB", "RGBA"):
        if few := _few_colours(image):
            image = few
        elif not plan.lossless_png:
            reduced = _quantized(image, PALETTE, Image.Quantize.FASTOCTREE)
            result = saved(reduced, Format.PNG, profile)
            # Lossless takes three times as long and is seldom the smaller one. Where even the reduced one
            # takes half of the source, it may be: in drawings with smooth shades.
            if not plan.may_keep or 2 * len(result) < source_size:
                return result
            return min(result, saved(image, Format.PNG, profile), key=len)
    return saved(image, Format.PNG, profile)


def _few_colours(image: Image.Image) -> Image.Image | None:
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
    method = Image.Quantize.MEDIANCUT if exact else Image.Quantize.FASTOCTREE
    result = _quantized(image, room, method)
    highest: Any = result.getextrema()
    # with 16 colours a pixel takes 4 bits
    result.putpalette(palette_of(result)[: 3 * (highest[1] + 1)])
    return result


def _quantized(image: Image.Image, room: int, method: Image.Quantize) -> Image.Image:
    with exhaustion_told():
        return image.quantize(room, method, dither=Image.Dither.NONE)


def palette_of(image: Image.Image) -> bytes:
    return bytes(image.palette.palette) if image.palette else b""
