"""Write one picture in any format but GIF."""

from PIL import Image

from resizer.compress.codec import jpeg, png, vips
from resizer.compress.codec.chroma import has_thin_colours
from resizer.compress.codec.effort import options_for
from resizer.compress.codec.pillow import save
from resizer.compress.codec.pixels import has_alpha, without_palette
from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format


def encode(
    image: Image.Image, profile: bytes | None, plan: Plan, source_size: int, *, halved: bool = False
) -> bytes:
    """Return the file; `source_size` is in bytes, `halved` if the source stores chroma at half size."""
    if plan.target is Format.PNG:
        return png.write(image, profile, plan, source_size)
    image = without_palette(image)
    if plan.target is Format.JPEG:
        return jpeg.write(image, profile, plan, halved=halved)
    options = options_for(plan, clear=has_alpha(image))
    if not halved and has_thin_colours(image):
        if plan.target is Format.AVIF:
            options["subsampling"] = "4:4:4"
        elif not vips.MISSING:
            return vips.webp(image, profile=profile, **options)
    return save(image, plan.target, profile, **options)
