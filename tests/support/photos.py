"""Test pictures: photo-like, small, and the same in every run."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def photo(width: int = 320, height: int = 240, *, seed: int = 0) -> Image.Image:
    """Draw smooth light, shapes and grain, which compress like a photo, not like a diagram."""
    return _photo(width, height, seed).copy()


@functools.lru_cache(50)  # many tests use the same few
def _photo(width: int, height: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        128 + 90 * np.sin(x / width * random.uniform(2, 9) + y / height * random.uniform(2, 9))
        for _ in range(3)
    ]
    pixels = np.stack(waves, axis=-1) + random.normal(0, 9, (height, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        left, top = int(random.integers(0, width - 20)), int(random.integers(0, height - 20))
        draw.ellipse(
            (left, top, left + width // 5, top + height // 5), fill=tuple(random.integers(0, 255, 3).tolist())
        )
    return image


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def jpeg(*, seed: int = 0, quality: int = 92, width: int = 320, height: int = 240, **options: Any) -> bytes:
    return encoded(photo(width, height, seed=seed), "JPEG", quality=quality, **options)


def png_with_alpha(*, seed: int = 1) -> bytes:
    image = photo(seed=seed).convert("RGBA")
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse((40, 20, 280, 220), fill=255)
    image.putalpha(mask)
    return encoded(image, "PNG")


def webp(*, seed: int = 2) -> bytes:
    return encoded(photo(seed=seed), "WEBP", quality=95)


def animated_gif(*, frames: int = 5) -> bytes:
    pictures = [photo(160, 120, seed=number) for number in range(frames)]
    return encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:], duration=80, loop=0)


def cmyk_jpeg(*, seed: int = 3) -> bytes:
    return encoded(photo(seed=seed).convert("CMYK"), "JPEG", quality=95)


def oriented_jpeg(*, orientation: int = 6, seed: int = 4) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(seed=seed, exif=exif)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
