"""Bring colours into a space that the target can say."""

from io import BytesIO

from PIL import Image, ImageCms

from resizer.images.codec.reader import UNREADABLE
from resizer.images.formats import Format

LARGEST_PROFILE = 4 * 2**20  # bytes; printers' profiles reach 3 MB


def coloured(image: Image.Image, profile: bytes | None, target: Format) -> tuple[Image.Image, bytes | None]:
    """Bring colours into a space that the target can say; the profile returned fits them."""
    known = _profile(profile)
    space = known.profile.xcolor_space if known else None
    if image.mode == "CMYK":
        return _to_srgb(image, known if space == "CMYK" else None), None
    if image.mode == "LAB":
        return _to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))), None
    if image.mode not in ("1", "L", "LA"):
        return image, profile if space == "RGB " else None
    if space != "GRAY":
        return image, None
    if image.mode != "LA" and target in (Format.JPEG, Format.PNG, Format.AVIF):
        return image, profile
    # WebP has no grey, a palette and AVIF have none beside transparency
    rgb = _to_srgb(image.getchannel("L") if image.mode == "LA" else image.convert("L"), known)
    if image.mode == "LA":
        rgb.putalpha(image.getchannel("A"))
    return rgb, None


def profile_of(mode: str, profile: bytes | None) -> bytes | None:
    """Return the profile if it fits an image of mode RGB or L, else None."""
    known = _profile(profile)
    space = "GRAY" if mode == "L" else "RGB "
    return profile if known and known.profile.xcolor_space == space else None


def _profile(profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    if not profile or len(profile) > LARGEST_PROFILE:
        return None
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except UNREADABLE:
        return None


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    converted = None
    if profile:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        try:
            converted = ImageCms.profileToProfile(image, profile, srgb, intent, "RGB", flags=flags)
        except (*UNREADABLE, ImageCms.PyCMSError):
            # damaged deeper than its header
            converted = None
    converted = converted or image.convert("RGB")
    converted.info = {}
    return converted
