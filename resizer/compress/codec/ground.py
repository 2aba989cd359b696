"""Put a picture on its ground: what surrounds it in a larger box, and what is seen behind it."""

from functools import lru_cache
from typing import Final

from PIL import Image, ImageColor

from resizer.compress.codec import icc
from resizer.compress.codec.layout import middle
from resizer.compress.codec.pixels import OPAQUE, has_alpha, straight
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format
from resizer.recipe import WHITE

CLEAR: Final = 0

Colour = tuple[int, ...]


def grounded(image: Image.Image, profile: bytes | None, plan: Plan) -> tuple[Image.Image, bytes | None]:
    """Pad it and put it on its background, as far as the plan asks; the profile returned fits it.

    The image is of one of the modes that can be written, its colours as `profile` says.
    """
    pads = plan.layout.pads
    covers = has_alpha(image) and plan.target is Format.JPEG
    if not (pads or covers):
        return image, profile
    image = straight(image)
    if plan.ground is None:
        image, profile = _with_alpha(image, profile)
        return _on(image, plan, (CLEAR,) * len(image.getbands())), profile
    image, profile, colour = _in_colours(image, profile, plan.ground)
    if covers or not has_alpha(image):
        return _on(image, plan, colour), profile
    return _on(image, plan, (*colour, OPAQUE)), profile


def _on(image: Image.Image, plan: Plan, colour: Colour) -> Image.Image:
    """Paste it into the middle of a canvas of this colour, through its own alpha if the canvas has none."""
    bands = image.getbands()
    mode = image.mode if len(colour) == len(bands) else image.mode.removesuffix("A")
    canvas = Image.new(mode, plan.size, colour if len(colour) > 1 else colour[0])
    place = middle(image.size, plan.size)
    if mode == image.mode:
        canvas.paste(image, place)
    else:
        canvas.paste(image.convert(mode), place, image.getchannel("A"))
    return canvas


def _with_alpha(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    if has_alpha(image):
        return image, profile
    if image.mode == "L" and profile:
        # no format has a grey profile beside transparency
        image, profile = icc.to_srgb(image, icc.opened(profile)), None
    image = image.copy()
    image.putalpha(OPAQUE)
    return image, profile


def _in_colours(
    image: Image.Image, profile: bytes | None, background: str
) -> tuple[Image.Image, bytes | None, Colour]:
    """Return an image in which the background can be shown, its profile, and the background in it."""
    red, green, blue = ImageColor.getrgb(background)[:3]
    grey = image.mode in ("L", "LA")
    if grey and not red == green == blue:
        alpha = image.getchannel("A") if image.mode == "LA" else None
        rgb = icc.to_srgb(image.getchannel("L"), icc.opened(profile))
        if alpha:
            rgb.putalpha(alpha)
        image, profile, grey = rgb, None, False
    return image, profile, _colour(background, "L" if grey else "RGB", profile)


@lru_cache(maxsize=16)
def _colour(background: str, mode: str, profile: bytes | None) -> Colour:
    """Return how a colour of sRGB is written in a space; `mode` is L or RGB."""
    red, green, blue = ImageColor.getrgb(background)[:3]
    plain = (red,) if mode == "L" else (red, green, blue)
    # white is white in any space, and needs no conversion that might round it
    if profile is None or background == WHITE:
        return plain
    pixel = Image.new("RGB", (1, 1), (red, green, blue))
    known = icc.opened(profile)
    converted = icc.from_srgb(pixel, known, mode) if known else None
    return tuple((converted or pixel.convert(mode)).tobytes())
