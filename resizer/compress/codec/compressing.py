"""Compress one image from its bytes, and write or describe a result file."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFile

from resizer.compress.codec import background, colours
from resizer.compress.codec.animation import animate, write_gif
from resizer.compress.codec.chroma import has_halved_chroma
from resizer.compress.codec.encoding import encode
from resizer.compress.codec.pillow import (
    UNREADABLE,
    check_pixels,
    decoder_errors,
    libtiff_silenced,
    open_image,
    orientation_of,
)
from resizer.compress.codec.pixels import BYTE, arrange, has_alpha, normalize, without_palette
from resizer.compress.codec.plan import ANIMATED, KEEP_SOURCE, Plan
from resizer.compress.codec.spaces import Space, space_of
from resizer.compress.codec.turbo import decode, with_end_mark
from resizer.containers import metadata
from resizer.containers import png_chunks as png
from resizer.containers.formats import EXTENSIONS, Format, sniff
from resizer.containers.metadata import FIRST_SIDEWAYS, UPRIGHT
from resizer.errors import StorageFailure, disk_fault
from resizer.models import Compressed, Recipe

TRUNCATED = "truncated"  # in Pillow's message for an image that ends too early


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A compressed image."""

    data: bytes
    #: jpeg, png, webp, gif, avif; bmp or tiff if the source is kept
    format: str
    #: pixels, as a viewer shows it
    width: int
    height: int


def compress(data: bytes, *, recipe: Recipe, max_pixels: int) -> Encoded:
    """Return the compressed image. Raises an `ImageError`, or `MemoryError`."""
    kind = sniff(data)
    with _quiet(kind):
        if kind is Format.PNG:
            data = png.without_damaged(data)
        image = open_image(data, kind, max_pixels)
        try:
            return _compress(image, data, kind, recipe, max_pixels)
        except OSError as error:
            if kind is not Format.JPEG or TRUNCATED not in str(error):
                raise
            whole = with_end_mark(data, image.mode)
            if whole is None:
                raise
        return _compress(open_image(whole, kind, max_pixels), whole, kind, recipe, max_pixels)


def compress_file(source: str, target: str, *, stem: str, recipe: Recipe, max_pixels: int) -> Compressed:
    """Write the compressed image to the path `target`. Raises an `ImageError`, or `MemoryError`.

    `stem` is its name in the storage without the extension, which depends on its format.
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
    """Return what `compress_file` returned for this file. Raises an `ImageError` if it is damaged."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StorageFailure(disk_fault(error, Path(path).parent)) from error
    kind = sniff(data)
    with _quiet(kind):
        image = open_image(data, kind, max_pixels)
        if kind is not Format.JPEG:
            image.load()  # the EXIF of a PNG may follow its pixels
        sideways = orientation_of(image) >= FIRST_SIDEWAYS
    width, height = image.size[::-1] if sideways else image.size
    return Compressed(
        filename=Path(path).name,
        format=kind.value,
        width=width,
        height=height,
        input_bytes=input_bytes,
        output_bytes=len(data),
    )


@contextmanager
def _quiet(kind: Format) -> Iterator[None]:
    """Ignore warnings about an image, and translate errors."""
    with warnings.catch_warnings(), libtiff_silenced(kind), decoder_errors():
        warnings.simplefilter("ignore")
        yield


def _compress(
    image: ImageFile.ImageFile, data: bytes, kind: Format, recipe: Recipe, max_pixels: int
) -> Encoded:
    if kind is not Format.JPEG:
        image.load()  # the EXIF of a PNG may follow its pixels
    plan = Plan.of(recipe, kind, image.size, orientation_of(image))
    space = space_of(image, data, kind)
    animated = plan.keeps_frames and getattr(image, "is_animated", False)
    if plan.layout.pads:
        # A small source with many frames would fill as many large canvases.
        check_pixels(*plan.size, getattr(image, "n_frames", 1) if animated else 1, max_pixels)
    if space.hdr and plan.may_keep:
        result = KEEP_SOURCE  # no format written here can show its brightness
    elif animated:
        result = animate(image, plan, space)
    else:
        result, plan = _compress_still(image, data, plan, space)
    if plan.may_keep and (kept := _kept_source(image, data, plan, result)):
        return Encoded(data=kept, format=kind.value, width=plan.upright[0], height=plan.upright[1])
    return Encoded(data=result, format=plan.target.value, width=plan.size[0], height=plan.size[1])


def _compress_still(image: ImageFile.ImageFile, data: bytes, plan: Plan, space: Space) -> tuple[bytes, Plan]:
    profile = space.profile(image.mode)
    # Shrinking halved chroma makes it full.
    halved = not plan.layout.shrinks and has_halved_chroma(image)
    if plan.only_recompresses and not colours.must_convert(image.mode, profile):
        decoded = decode(data, mode=image.mode, size=image.size)
        if decoded:
            profile = colours.profile_for(image.mode, profile)
            return encode(arrange(decoded, plan), profile, plan, len(data), halved=halved), plan
    extent = None
    if plan.layout.shrinks:
        width, height = plan.whole_before_turn
        # Decodes a JPEG at a half, a quarter or an eighth, as far as that is enough.
        drafted = image.draft(None, (round(2 * width), round(2 * height)))
        extent = drafted[1] if drafted else None
    image.load()
    depth = data[24] if plan.kind is Format.PNG else BYTE
    if depth > BYTE and plan.lossless_png and plan.may_keep:
        return KEEP_SOURCE, plan  # 16 bits cannot be written without loss
    pixels = colours.tone_map(normalize(image, plan.kind, depth), space)
    if plan.may_be_png and has_alpha(pixels):
        plan = replace(plan, target=Format.PNG)
    pixels, profile = colours.convert(arrange(pixels, plan, extent), profile, plan.target)
    pixels, profile = background.apply(pixels, profile, plan)
    if plan.target is Format.GIF:
        frames = [(without_palette(pixels), 0.0)]
        return write_gif(frames, plan, loop=None, clear=has_alpha(pixels)), plan
    return encode(pixels, profile, plan, len(data), halved=halved), plan


def _kept_source(image: Image.Image, data: bytes, plan: Plan, result: bytes) -> bytes | None:
    """Return the source without metadata if it is no larger than the result, else None."""
    if not result or len(result) >= len(data):
        return _without_metadata(image, data, plan)
    if 2 * len(result) < len(data) or plan.turn != UPRIGHT:
        # Metadata is seldom half of a file, and upright pixels are worth more than some bytes.
        return None
    bare = _without_metadata(image, data, plan)
    return bare if len(bare) <= len(result) else None


def _without_metadata(image: Image.Image, data: bytes, plan: Plan) -> bytes:
    """Return the source without metadata; unchanged if that is not certain to be the same image."""
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
