"""Bring what is decoded into one of a few modes, and to its size and the right way up."""

from typing import Any, Final

from PIL import Image

from resizer.compress.codec.layout import Extent, middle
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format

BYTE = 8
OPAQUE = 255
SHORT = 65535
PALETTE = 256

TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: modes that Pillow's decoders give beside those handled here
EQUIVALENT: Final = {"RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}


def plain(image: Image.Image, kind: Format, depth: int) -> Image.Image:
    """Bring it into 1, L, LA, P, RGB, RGBA, CMYK or LAB, with nothing but a palette's alpha in `info`."""
    if image.mode == "P" and image.palette is None:
        # Pillow opens such a PNG, and fails in many ways to write it
        raise ValueError("numbers of colours, and no colours")
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
        image.info["transparency"] = key if image.mode == "1" else _at_byte(key, depth)
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif kind is Format.BMP and image.mode == "RGBA" and not image.getchannel("A").getbbox():
        # written by who left the fourth byte unused: nobody means to show nothing
        image = image.convert("RGB")
    image.info = {"transparency": key} if key is not None and image.mode == "P" else {}
    return without_alpha_if_opaque(image)


def _at_byte(key: Any, depth: int) -> Any:
    """Bring a colour key, which a PNG gives at its own depth, to what the decoded pixels have."""
    if depth < BYTE:
        return key * OPAQUE // ((1 << depth) - 1)
    return tuple(value >> (depth - BYTE) for value in key) if isinstance(key, tuple) else key


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale greys of 16 bits."""
    # F is reached from the big-endian I;16B by way of I only
    real = image.convert("I").convert("F")
    return real.point(lambda value: value * (OPAQUE / SHORT) + 0.5).convert("L")


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "RGBA") or "transparency" in image.info


def without_alpha_if_opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema() == (OPAQUE, OPAQUE):
            return image.convert(image.mode[:-1])
    elif (key := image.info.get("transparency")) is not None:
        alphas = [0 if at == key else OPAQUE for at in range(PALETTE)] if isinstance(key, int) else key
        if all(alpha == OPAQUE or not count for alpha, count in zip(alphas, image.histogram(), strict=False)):
            image.info = {}
    return image


def placed(image: Image.Image, plan: Plan, extent: Extent | None = None) -> Image.Image:
    """Shrink, turn and crop it; `extent` is where the source lies in it, all of it unless said."""
    if plan.layout.shrinks:
        if image.mode in ("1", "P"):
            image = straight(image)
        part = plan.part_of(extent or (0, 0, *image.size))
        image = image.resize(plan.drawn_before_turn, Image.Resampling.LANCZOS, part, reducing_gap=3.0)
    if plan.turn in TURNS:
        image = image.transpose(TURNS[plan.turn])
    if image.size != plan.layout.drawn:
        left, top = middle(plan.layout.drawn, image.size)
        image = image.crop((left, top, left + plan.layout.drawn[0], top + plan.layout.drawn[1]))
    return image


def straight(image: Image.Image) -> Image.Image:
    """Take it out of its palette."""
    mode = {"1": "L", "P": "RGBA" if has_alpha(image) else "RGB"}.get(image.mode, image.mode)
    if mode != image.mode:
        image = image.convert(mode)
        image.info = {}
    return image
