"""Pictures for the tests, made on the spot, as bytes of every format."""

import struct
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageDraw

from resizer.compress.codec import Encoded, compress
from resizer.recipe import Effort, Fit, OutputFormat, Recipe

Pixels = npt.NDArray[np.float64]


def photo(width: int = 96, height: int = 64, seed: int = 1) -> Image.Image:
    """Gradients and noise, so that no two corners are alike."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 90 * np.sin(x / width * 5 + y / height * 2), 255 * x / width, 255 * y / height]
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.stack(waves, -1) + noise, 0, 255).astype("u1"))


def smooth(width: int = 96, height: int = 64) -> Image.Image:
    """Gradients alone, which survive any codec nearly unchanged."""
    y, x = np.mgrid[0:height, 0:width]
    bands = [255 * x / width, 255 * y / height, 255 - 255 * x / width]
    return Image.fromarray(np.stack(bands, -1).astype("u1"))


def disc(width: int = 96, height: int = 64) -> Image.Image:
    """A photo seen through a hole with a soft rim."""
    mask = Image.new("L", (4 * width, 4 * height))
    ImageDraw.Draw(mask).ellipse((width, height, 3 * width, 3 * height), fill=255)
    picture = photo(width, height).convert("RGBA")
    picture.putalpha(mask.resize((width, height), Image.Resampling.BOX))
    return picture


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Any:
    picture = Image.open(BytesIO(data))
    picture.load()
    return picture


def pressed(
    data: bytes,
    wanted: str = "keep",
    *,
    max_pixels: int = 10_000_000,
    quality: int = 50,
    max_width: int = 0,
    max_height: int = 0,
    fit: str = "inside",
    background: str = "white",
    effort: str = "balanced",
) -> Encoded:
    recipe = Recipe(
        quality=quality,
        format=OutputFormat(wanted),
        effort=Effort(effort),
        max_width=max_width,
        max_height=max_height,
        fit=Fit(fit),
        background=background,
    )
    return compress(data, recipe=recipe, max_pixels=max_pixels)


def shown(data: bytes) -> Pixels:
    """What can be seen of it, as RGBA with colours weighed by their opacity."""
    return seen(opened(data))


def seen(picture: Image.Image) -> Pixels:
    pixels = np.asarray(picture.convert("RGBA")).astype(float)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return pixels


def far(one: Pixels, other: Pixels) -> float:
    """Mean difference of two pictures, in steps of 255."""
    assert one.shape == other.shape
    return float(np.abs(one - other).mean())


def exif(orientation: int, text: str = "") -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    if text:
        tags[0x010E] = text
    return tags


@cache
def srgb() -> bytes:
    # it holds the time at which it was made
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Build an ICC profile, version 2."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061), **tags}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">I4sI", start + len(body), b"lcms", 0x02400000) + kind + space + connection
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def linear_grey() -> bytes:
    return profile(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0)})


def red_cyan_cmyk() -> bytes:
    """State that cyan ink prints red, which shows whether the profile was applied."""
    straight = bytes(range(256))
    nodes = b""
    for node in range(16):
        cyan, black = node & 8, node & 1
        nodes += bytes((30, 128, 128) if black else (140, 200, 190) if cyan else (255, 128, 128))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0))
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    return profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": lut + straight * 4 + nodes + straight * 3})


def balls(count: int = 6, *, clear: bool = True, size: tuple[int, int] = (60, 40)) -> list[Image.Image]:
    """A ball that rolls, over nothing or over a wall of few colours."""
    frames = []
    for step in range(count):
        wall = photo(*size).quantize(24).convert("RGBA")
        frame = Image.new("RGBA", size, (0, 0, 0, 0)) if clear else wall
        place = (4 + 7 * step, 8, 20 + 7 * step, 24)
        ImageDraw.Draw(frame).ellipse(place, fill=(250, 40 * step % 256, 20, 255))
        frames.append(frame)
    return frames


def animated(frames: list[Image.Image], kind: str, **options: Any) -> bytes:
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def frames_of(data: bytes) -> list[tuple[Pixels, float]]:
    """Every frame as it is seen, with its duration."""
    picture = Image.open(BytesIO(data))
    result = []
    for at in range(getattr(picture, "n_frames", 1)):
        picture.seek(at)
        picture.load()
        result.append((seen(picture), picture.info.get("duration", 0)))
    return result


def every_format() -> dict[str, bytes]:
    picture, frames = photo(48, 32), balls(3, size=(32, 24))
    return {
        "jpeg": saved(picture, "JPEG", quality=90),
        "progressive": saved(picture, "JPEG", quality=90, progressive=True, exif=exif(6), comment=b"hello"),
        "cmyk": saved(picture.convert("CMYK"), "JPEG", quality=90),
        "png": saved(picture, "PNG", exif=exif(3)),
        "png_alpha": saved(disc(48, 32), "PNG", icc_profile=srgb()),
        "png_palette": saved(picture.quantize(32), "PNG", transparency=3),
        "apng": animated(frames, "PNG", duration=50),
        "webp": saved(disc(48, 32), "WEBP", quality=90, exif=exif(6)),
        "webp_lossless": saved(picture, "WEBP", lossless=True),
        "webp_animated": animated(frames, "WEBP", duration=50),
        "gif": saved(picture.quantize(64), "GIF", comment=b"hello"),
        "gif_animated": animated(frames, "GIF", duration=50, disposal=2),
        "avif": saved(disc(48, 32), "AVIF", quality=90, exif=exif(6)),
        "avif_animated": animated(frames, "AVIF", duration=50),
        "bmp": saved(picture, "BMP"),
        "bmp_palette": saved(picture.quantize(16), "BMP"),
        "tiff": saved(picture, "TIFF"),
        "tiff_lzw": saved(disc(48, 32), "TIFF", compression="tiff_lzw"),
        "tiff_jpeg": saved(picture, "TIFF", compression="jpeg"),
    }
