"""Lead one image from its bytes to what is to be stored."""

import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFile

from resizer.compress.codec.animation import animate, write_gif
from resizer.compress.codec.chroma import has_halved_chroma
from resizer.compress.codec.colours import coloured, must_convert, profile_of, tone_mapped
from resizer.compress.codec.decoding import (
    UNREADABLE,
    check_pixels,
    damage_told,
    open_image,
    orientation_of,
    silent,
)
from resizer.compress.codec.encoding import NOTHING, encode
from resizer.compress.codec.end_mark import ended
from resizer.compress.codec.ground import grounded
from resizer.compress.codec.pixels import BYTE, has_alpha, placed, plain, straight
from resizer.compress.codec.plan import ANIMATED, Plan
from resizer.compress.codec.spaces import Space, space_of
from resizer.compress.codec.turbo import decode
from resizer.containers import metadata
from resizer.containers import png_chunks as png
from resizer.containers.formats import EXTENSIONS, Format, sniff
from resizer.containers.metadata import FIRST_SIDEWAYS, UPRIGHT
from resizer.errors import StorageFailure, disk_fault
from resizer.models import Compressed, Recipe

TRUNCATED = "truncated"  # how Pillow says that an image ends too early


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A compressed image."""

    data: bytes
    #: jpeg, png, webp, gif, avif, or bmp and tiff where a source is kept
    format: str
    #: pixels, as a viewer shows it
    width: int
    height: int


def compress(data: bytes, *, recipe: Recipe, max_pixels: int) -> Encoded:
    """Return the compressed image; raises an `ImageError`, or `MemoryError`."""
    kind = sniff(data)
    with warnings.catch_warnings(), silent(kind), damage_told():
        warnings.simplefilter("ignore")
        if kind is Format.PNG:
            data = png.without_damaged(data)
        image = open_image(data, kind, max_pixels)
        try:
            return _compressed(image, data, kind, recipe, max_pixels)
        except OSError as error:
            if kind is not Format.JPEG or TRUNCATED not in str(error):
                raise
            whole = ended(data, image.mode)
            if whole is None:
                raise
        return _compressed(open_image(whole, kind, max_pixels), whole, kind, recipe, max_pixels)


def _compressed(
    image: ImageFile.ImageFile, data: bytes, kind: Format, recipe: Recipe, max_pixels: int
) -> Encoded:
    if kind is not Format.JPEG:
        image.load()  # the EXIF of a PNG may stand behind its pixels
    plan = Plan.of(recipe, kind, image.size, orientation_of(image))
    space = space_of(image, data, kind)
    animated = plan.keeps_frames and getattr(image, "is_animated", False)
    if plan.layout.pads:
        # a small source with many frames would fill as many large canvases
        check_pixels(*plan.size, getattr(image, "n_frames", 1) if animated else 1, max_pixels)
    if space.hdr and plan.may_keep:
        result = NOTHING  # shown as bright as it was made for, which nothing written here can be
    elif animated:
        result = animate(image, plan, space)
    else:
        result, plan = _still(image, data, plan, space)
    if plan.may_keep and (kept := _kept(image, data, plan, result)):
        return Encoded(data=kept, format=kind.value, width=plan.upright[0], height=plan.upright[1])
    return Encoded(data=result, format=plan.target.value, width=plan.size[0], height=plan.size[1])


def compress_file(source: str, target: str, *, stem: str, recipe: Recipe, max_pixels: int) -> Compressed:
    """Write the compressed image to the path `target`; raises an `ImageError`, or `MemoryError`.

    `stem` is what its name in the storage is to begin with; the extension tells its format.
    """
    try:
        data = Path(source).read_bytes()
        encoded = compress(data, recipe=recipe, max_pixels=max_pixels)
        Path(target).write_bytes(encoded.data)
    except OSError as error:
        raise StorageFailure(disk_fault(error, Path(error.filename or target).parent)) from error
    return Compressed(
        filename=stem + EXTENSIONS[Format(encoded.format)],
        format=encoded.format,
        width=encoded.width,
        height=encoded.height,
        input_bytes=len(data),
        output_bytes=len(encoded.data),
    )


def describe_file(path: str, *, input_bytes: int, max_pixels: int) -> Compressed:
    """Return what `compress_file` has returned for this file. Raises an `ImageError` where it is damaged."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StorageFailure(disk_fault(error, Path(path).parent)) from error
    kind = sniff(data)
    with warnings.catch_warnings(), silent(kind), damage_told():
        warnings.simplefilter("ignore")
        image = open_image(data, kind, max_pixels)
        if kind is not Format.JPEG:
            image.load()  # the EXIF of a PNG may stand behind its pixels
        turned = orientation_of(image) >= FIRST_SIDEWAYS
    width, height = image.size[::-1] if turned else image.size
    return Compressed(
        filename=Path(path).name,
        format=kind.value,
        width=width,
        height=height,
        input_bytes=input_bytes,
        output_bytes=len(data),
    )


def _still(image: ImageFile.ImageFile, data: bytes, plan: Plan, space: Space) -> tuple[bytes, Plan]:
    profile = space.profile(image.mode)
    # what shrinks has chroma for each of its pixels
    halved = not plan.layout.shrinks and has_halved_chroma(image)
    if plan.only_recompresses and not must_convert(image.mode, profile):
        decoded = decode(data, mode=image.mode, size=image.size)
        if decoded:
            upright = placed(decoded, plan)
            return encode(upright, profile_of(image.mode, profile), plan, len(data), halved=halved), plan
    box = None
    if plan.layout.shrinks:
        width, height = plan.whole_before_turn
        # decodes a JPEG at a half, a quarter or an eighth, which is all that is needed
        drafted = image.draft(None, (round(2 * width), round(2 * height)))
        box = drafted[1] if drafted else None
    image.load()
    depth = data[24] if plan.kind is Format.PNG else BYTE
    if depth > BYTE and plan.lossless_png and plan.may_keep:
        return NOTHING, plan  # what has 16 bits cannot be written again without loss
    pixels = tone_mapped(plain(image, plan.kind, depth), space)
    if plan.may_be_png and has_alpha(pixels):
        plan = replace(plan, target=Format.PNG)
    pixels, profile = grounded(*coloured(placed(pixels, plan, box), profile, plan.target), plan)
    if plan.target is Format.GIF:
        return write_gif([(straight(pixels), 0.0)], plan, loop=None, clear=has_alpha(pixels)), plan
    return encode(pixels, profile, plan, len(data), halved=halved), plan


def _kept(image: Image.Image, data: bytes, plan: Plan, result: bytes) -> bytes | None:
    """Return the source without metadata where that is no larger than the result, else None."""
    if not result or len(result) >= len(data):
        return _bare(image, data, plan)
    if 2 * len(result) < len(data) or plan.turn != UPRIGHT:
        # seldom is half of a file metadata; and what is turned upright is worth more than some bytes
        return None
    bare = _bare(image, data, plan)
    return bare if len(bare) <= len(result) else None


def _bare(image: Image.Image, data: bytes, plan: Plan) -> bytes:
    """Return the source without metadata; as it is where that is not certain to be the same image."""
    bare = metadata.strip(data, plan.kind, orientation=plan.turn)
    if bare is None or len(bare) > len(data):
        return data
    try:
        again = Image.open(BytesIO(bare), formats=(plan.kind.upper(),))
    except UNREADABLE:
        return data
    same = again.size == image.size and orientation_of(again) == plan.turn
    if plan.kind in ANIMATED:
        same = same and getattr(again, "n_frames", 1) == getattr(image, "n_frames", 1)
    return bare if same else data
