"""Read ICC profiles, and apply them."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageCms

from resizer.compress.codec.pillow import UNREADABLE

LARGEST: Final = 4 * 2**20  # bytes; printers' profiles reach 3 MB
HEADER: Final = 128  # bytes; no profile is shorter
GREY_MODES: Final = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "La"})
INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION


def open_profile(profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """Return the profile; None if there is none or it cannot be read."""
    if not profile or len(profile) > LARGEST:
        return None
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except UNREADABLE:
        return None


def without_padding(profile: bytes) -> bytes:
    """Cut the bytes behind a profile's end, which its first four bytes give (ICC.1:2022, 7.2.2)."""
    length = int.from_bytes(profile[:4], "big")
    return profile[:length] if HEADER <= length < len(profile) else profile


def space_of(profile: ImageCms.ImageCmsProfile | None) -> str | None:
    """Return RGB, GRAY or CMYK, padded to four letters."""
    return str(profile.profile.xcolor_space) if profile else None


def to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    """Convert to RGB through the profile, or by plain conversion if the profile cannot be applied."""
    converted = _convert(image, profile, _srgb(), "RGB") if profile else None
    converted = converted or image.convert("RGB")
    converted.info = {}
    return converted


def from_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image | None:
    """Convert an RGB image to the profile's colours; None if the profile cannot be applied."""
    return _convert(image, _srgb(), profile, mode)


def grey_table(profile: ImageCms.ImageCmsProfile) -> list[int] | None:
    """Return what an RGB profile makes of each grey; None if that changes nothing."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    table = list(to_srgb(ramp.convert("RGB"), profile).convert("L").tobytes())
    return None if all(abs(new - old) <= 1 for old, new in enumerate(table)) else table


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _convert(
    image: Image.Image, source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, mode: str
) -> Image.Image | None:
    try:
        return ImageCms.profileToProfile(image, source, target, INTENT, mode, flags=FLAGS)
    except (*UNREADABLE, ImageCms.PyCMSError):
        return None  # damaged beyond its header
