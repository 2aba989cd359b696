"""Bring decoded pixels into one of a few modes, to their size and upright."""

from typing import Any, Final

from PIL import Image

from resizer.compress.codec.layout import Extent, margins
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format

BYTE = 8
OPAQUE = 255
SHORT = 65535
PALETTE = 256

#: EXIF orientation → what makes the image upright
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: further modes of Pillow's decoders
EQUIVALENT: Final = {"RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}


def normalize(image: Image.Image, kind: Format, depth: int) -> Image.Image:
    """Convert to 1, L, LA, P, RGB, RGBA, CMYK or LAB, with only a palette's alpha left in `info`."""
    if image.mode == "P" and image.palette is None:
        # Pillow opens such a PNG, and fails in many ways to write it.
        raise ValueError("a palette image without a palette")
    key = image.info.get("transparency")
    if image.mode.startswith("I"):
        grey = _eight_bits(image)
        if isinstance(key, int):
            table = [OPAQUE] * (SHORT + 1)
            table[min(key, SHORT)] = 0
            grey.putalpha(image.convert("I").point(table, "L"))
        return grey
    if image.mode in EQUIVALENT:
        image = image.convert(EQUIVALENT[image.mode])
    elif key is not None and image.mode in ("1", "L", "RGB"):
        image.info["transparency"] = key if image.mode == "1" else _eight_bit_key(key, depth)
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif kind is Format.BMP and image.mode == "RGBA" and not image.getchannel("A").getbbox():
        # Its writer left the fourth byte unused: nobody means to show nothing.
        image = image.convert("RGB")
    image.info = {"transparency": key} if key is not None and image.mode == "P" else {}
    return without_opaque_alpha(image)


def _eight_bit_key(key: Any, depth: int) -> Any:
    """Scale a transparent colour, which a PNG gives at its own depth, to the decoded pixels."""
    if depth < BYTE:
        return key * OPAQUE // ((1 << depth) - 1)
    return tuple(value >> (depth - BYTE) for value in key) if isinstance(key, tuple) else key


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale greys of 16 bits."""
    # Pillow converts the big-endian I;16B to F only by way of I.
    real = image.convert("I").convert("F")
    return real.point(lambda value: value * (OPAQUE / SHORT) + 0.5).convert("L")


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "RGBA") or "transparency" in image.info


def without_opaque_alpha(image: Image.Image) -> Image.Image:
    """Remove alpha if all pixels are opaque."""
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema() == (OPAQUE, OPAQUE):
            return image.convert(image.mode[:-1])
    elif (key := image.info.get("transparency")) is not None:
        alphas = [0 if index == key else OPAQUE for index in range(PALETTE)] if isinstance(key, int) else key
        if all(alpha == OPAQUE or not count for alpha, count in zip(alphas, image.histogram(), strict=False)):
            image.info = {}
    return image


def without_palette(image: Image.Image) -> Image.Image:
    mode = {"1": "L", "P": "RGBA" if has_alpha(image) else "RGB"}.get(image.mode, image.mode)
    if mode != image.mode:
        image = image.convert(mode)
        image.info = {}
    return image


def arrange(image: Image.Image, plan: Plan, extent: Extent | None = None) -> Image.Image:
    """Shrink, turn and crop an image; `extent` is the area of it that the source covers, by default all."""
    if plan.layout.shrinks:
        if image.mode in ("1", "P"):
            image = without_palette(image)
        part = plan.part_of(extent or (0, 0, *image.size))
        image = image.resize(plan.drawn_before_turn, Image.Resampling.LANCZOS, part, reducing_gap=3.0)
    if plan.turn in TURNS:
        image = image.transpose(TURNS[plan.turn])
    if image.size != plan.layout.drawn:
        left, top = margins(plan.layout.drawn, image.size)
        image = image.crop((left, top, left + plan.layout.drawn[0], top + plan.layout.drawn[1]))
    return image
