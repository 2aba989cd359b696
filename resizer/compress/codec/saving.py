"""Have Pillow write an image."""

from io import BytesIO
from typing import Any

from PIL import Image

from resizer.compress.codec.decoding import exhaustion_told
from resizer.containers import avif
from resizer.containers.formats import Format


def saved(image: Image.Image, target: Format, profile: bytes | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    with exhaustion_told():
        image.save(buffer, target.upper(), icc_profile=profile, **options)
    data = buffer.getvalue()
    return avif.undated(data) if target is Format.AVIF else data
