"""Read ICC profiles, and apply them."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageCms

from resizer.compress.codec.decoding import UNREADABLE

LARGEST: Final = 4 * 2**20  # bytes; printers' profiles reach 3 MB
HEADER: Final = 128  # bytes; no profile is shorter
GREY_MODES: Final = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "La"})
INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION


def opened(profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """Return the profile; None where there is none that can be read."""
    if not profile or len(profile) > LARGEST:
        return None
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except UNREADABLE:
        return None


def without_padding(profile: bytes) -> bytes:
    """Cut what follows a profile's end, which its first four bytes give (ICC.1:2022, 7.2.2)."""
    length = int.from_bytes(profile[:4], "big")
    return profile[:length] if HEADER <= length < len(profile) else profile


def is_usable(profile: bytes) -> bool:
    return opened(profile) is not None


def space_of(profile: ImageCms.ImageCmsProfile | None) -> str | None:
    """Return RGB, GRAY or CMYK, filled to four letters."""
    return str(profile.profile.xcolor_space) if profile else None


def to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    """Return it in RGB, plainly converted where the profile cannot be applied."""
    converted = _converted(image, profile, _srgb(), "RGB") if profile else None
    converted = converted or image.convert("RGB")
    converted.info = {}
    return converted


def from_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image | None:
    """Return an RGB image in the profile's colours; None where the profile cannot be applied."""
    return _converted(image, _srgb(), profile, mode)


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _converted(
    image: Image.Image, source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, mode: str
) -> Image.Image | None:
    try:
        return ImageCms.profileToProfile(image, source, target, INTENT, mode, flags=FLAGS)
    except (*UNREADABLE, ImageCms.PyCMSError):
        return None  # damaged deeper than its header


def grey_table(profile: ImageCms.ImageCmsProfile) -> list[int] | None:
    """Return what an RGB profile makes of each grey; None where that changes nothing."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    table = list(to_srgb(ramp.convert("RGB"), profile).convert("L").tobytes())
    return None if all(abs(new - old) <= 1 for old, new in enumerate(table)) else table
