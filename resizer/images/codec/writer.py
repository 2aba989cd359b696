"""Write one picture in any format but GIF."""

from io import BytesIO
from typing import Any

from PIL import Image

from resizer.images import avif
from resizer.images.codec.pixels import PALETTE, has_alpha, straight
from resizer.images.codec.reader import exhaustion_told
from resizer.images.formats import Format
from resizer.images.plan import Plan

# Photos of 1600×1200 and 800×800 at quality 50, CPU-ms and kB: speed 6 1690, 140.7 and 680, 63.1; speed 8
# 380, 147.3 and 290, 62.9; speed 9 133, 146.5 and 65, 65.9, at the same PSNR within 0.2 dB. A product on
# white takes 9 % more bytes than with speed 8.
AVIF_SPEED = 9
# The same photos: method 1 58, 136.9 and 25, 88.5; method 4 205, 144.9 and 80, 80.7; method 6 442, 131.8 and
# 228, 70.8. On a product on white method 1 takes 37 % more bytes than method 4.
WEBP_METHOD = 4
# Beyond that it starts over and over, as one part of the file outgrows a limit of the format: 50 megapixels
# take 21 s, and 2.7 s with method 2, for 8 % more bytes.
WEBP_LARGE = 16_000_000
WEBP_METHOD_OF_LARGE = 2
NOTHING = b""  # the result where only the source will do


def encode(image: Image.Image, profile: bytes | None, plan: Plan, source_size: int) -> bytes:
    """Return the file; `source_size` is the number of bytes of the source."""
    match plan.target:
        case Format.PNG:
            return _png(image, profile, plan, source_size)
        case Format.JPEG:
            return saved(_on_white(straight(image)), plan.target, profile, quality=plan.quality)
        case _:
            return saved(straight(image), plan.target, profile, **options_for(plan))


def options_for(plan: Plan) -> dict[str, Any]:
    match plan.target:
        case Format.WEBP:
            large = plan.size[0] * plan.size[1] > WEBP_LARGE
            return {"quality": plan.quality, "method": WEBP_METHOD_OF_LARGE if large else WEBP_METHOD}
        case Format.AVIF:
            return {"quality": plan.quality, "speed": AVIF_SPEED, "max_threads": 1}
        case _:
            return {}


def saved(image: Image.Image, target: Format, profile: bytes | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    with exhaustion_told():
        image.save(buffer, target.upper(), icc_profile=profile, **options)
    data = buffer.getvalue()
    return avif.undated(data) if target is Format.AVIF else data


def _on_white(image: Image.Image) -> Image.Image:
    if not has_alpha(image):
        return image
    flat = Image.new(image.mode[:-1], image.size, "white")
    flat.paste(image.convert(flat.mode), mask=image.getchannel("A"))
    return flat


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
