"""Pad an image to a larger box, and put a background behind it."""

from functools import lru_cache
from typing import Final

from PIL import Image, ImageColor

from resizer.compress.codec import icc
from resizer.compress.codec.layout import margins
from resizer.compress.codec.pixels import OPAQUE, has_alpha, without_palette
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format
from resizer.recipe import WHITE

CLEAR: Final = 0

Colour = tuple[int, ...]


def apply(image: Image.Image, profile: bytes | None, plan: Plan) -> tuple[Image.Image, bytes | None]:
    """Pad an image of any mode that can be written as the plan asks; the profile returned fits the result."""
    flattens = has_alpha(image) and plan.target is Format.JPEG
    if not (plan.layout.pads or flattens):
        return image, profile
    image = without_palette(image)
    if plan.ground is None:
        image, profile = _with_alpha(image, profile)
        return _paste(image, plan, (CLEAR,) * len(image.getbands())), profile
    image, profile, colour = _able_to_show(plan.ground, image, profile)
    if flattens or not has_alpha(image):
        return _paste(image, plan, colour), profile
    return _paste(image, plan, (*colour, OPAQUE)), profile


def _paste(image: Image.Image, plan: Plan, colour: Colour) -> Image.Image:
    """Paste into the middle of a canvas of this colour; through its alpha if the colour has none."""
    flattens = len(colour) < len(image.getbands())
    mode = image.mode.removesuffix("A") if flattens else image.mode
    canvas = Image.new(mode, plan.size, colour if len(colour) > 1 else colour[0])
    place = margins(image.size, plan.size)
    if flattens:
        canvas.paste(image.convert(mode), place, image.getchannel("A"))
    else:
        canvas.paste(image, place)
    return canvas


def _with_alpha(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    if has_alpha(image):
        return image, profile
    if image.mode == "L" and profile:
        # No format has a grey profile beside transparency.
        image, profile = icc.to_srgb(image, icc.open_profile(profile)), None
    image = image.copy()
    image.putalpha(OPAQUE)
    return image, profile


def _able_to_show(
    background: str, image: Image.Image, profile: bytes | None
) -> tuple[Image.Image, bytes | None, Colour]:
    """Return an image that can show the background, its profile, and the background in its colours."""
    red, green, blue = ImageColor.getrgb(background)[:3]
    mode = "L" if image.mode in ("L", "LA") else "RGB"
    if mode == "L" and not red == green == blue:
        rgb = icc.to_srgb(image.getchannel("L"), icc.open_profile(profile))
        if image.mode == "LA":
            rgb.putalpha(image.getchannel("A"))
        image, profile, mode = rgb, None, "RGB"
    return image, profile, _colour(background, mode, profile)


@lru_cache(maxsize=16)
def _colour(background: str, mode: str, profile: bytes | None) -> Colour:
    """Return an sRGB colour in the space of a profile; `mode` is L or RGB."""
    red, green, blue = ImageColor.getrgb(background)[:3]
    # White is white in every space; converting might round it.
    if profile is None or background == WHITE:
        return (red,) if mode == "L" else (red, green, blue)
    pixel = Image.new("RGB", (1, 1), (red, green, blue))
    known = icc.open_profile(profile)
    converted = icc.from_srgb(pixel, known, mode) if known else None
    return tuple((converted or pixel.convert(mode)).tobytes())
