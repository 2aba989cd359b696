"""Convert colours into a space that the target format can express."""

from PIL import Image, ImageCms

from resizer.compress.codec import icc
from resizer.compress.codec.spaces import Space
from resizer.compress.codec.tone import to_sdr
from resizer.containers.formats import Format


def convert(image: Image.Image, profile: bytes | None, target: Format) -> tuple[Image.Image, bytes | None]:
    """Convert to colours that the target can express; returns the profile that fits them, too."""
    known = icc.open_profile(profile)
    space = icc.space_of(known)
    if image.mode == "CMYK":
        return icc.to_srgb(image, known if space == "CMYK" else None), None
    if image.mode == "LAB":
        return icc.to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))), None
    if image.mode in ("1", "L", "LA"):
        return _convert_greys(image, known, profile, target)
    return image, profile if space == "RGB " else None


def _convert_greys(
    image: Image.Image, known: ImageCms.ImageCmsProfile | None, profile: bytes | None, target: Format
) -> tuple[Image.Image, bytes | None]:
    space = icc.space_of(known)
    if space == "RGB " and known:
        return _apply_to_greys(image, known), None
    if space != "GRAY":
        return image, None
    if image.mode != "LA" and target in (Format.JPEG, Format.PNG, Format.AVIF):
        return image, profile
    # WebP has no grey; palettes and AVIF have none beside transparency.
    rgb = icc.to_srgb(image.getchannel("L") if image.mode == "LA" else image.convert("L"), known)
    if image.mode == "LA":
        rgb.putalpha(image.getchannel("A"))
    return rgb, None


def tone_map(image: Image.Image, space: Space) -> Image.Image:
    """Convert PQ and HLG to sRGB; returns any other image as it is."""
    if space.hdr is None:
        return image
    alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
    mapped = to_sdr(image.convert("RGBA" if alpha else "RGB"), space.primaries, space.hdr)
    mapped.info = {}
    return mapped.convert(image.mode) if image.mode in ("L", "LA") else mapped


def must_convert(mode: str, profile: bytes | None) -> bool:
    """Say whether a JPEG's values cannot be kept: greys to which an RGB profile applies."""
    known = icc.open_profile(profile) if mode == "L" else None
    return known is not None and icc.space_of(known) == "RGB " and icc.grey_table(known) is not None


def profile_for(mode: str, profile: bytes | None) -> bytes | None:
    """Return the profile if it fits an image of mode RGB or L, else None."""
    space = "GRAY" if mode == "L" else "RGB "
    return profile if icc.space_of(icc.open_profile(profile)) == space else None


def _apply_to_greys(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Apply an RGB profile to greys, as browsers do; the result is grey and needs no profile."""
    table = icc.grey_table(profile)
    if table is None:
        return image
    if image.mode == "LA":
        return image.point(table + list(range(256)))
    return image.convert("L").point(table)
