"""Draw pictures that cost a codec as much as photos do; the same seed gives the same picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float32]

#: amplitude of the coarsest detail in grey levels, and its factor per octave; in photos, it is about one half
COARSEST, FALL = 44.0, 0.58
#: noise of the sensor in grey levels; about half of a JPEG's size at quality 90
SENSOR = 3.1
#: colour has less detail than brightness in photos: its resolution is divided by this
COLOUR_STEP = 8
COLOURS = 0.4  # amplitude relative to brightness
THINGS = 9  # objects with sharp edges in a picture
WHITE = (255, 255, 255)


def photo(width: int, height: int, *, seed: int) -> Image.Image:
    """Draw an RGB picture of noise with the spectrum of photos, and of objects with edges."""
    random = np.random.default_rng(seed)
    brightness = _octaves(random, width, height)
    brightness += _noise(random, width, height, SENSOR)
    colours = [
        COLOURS * _octaves(random, width // COLOUR_STEP + 1, height // COLOUR_STEP + 1) for _ in range(2)
    ]
    planes = [_grey(brightness), *(_grey(plane).resize((width, height)) for plane in colours)]
    for outline in _outlines(random, width, height):
        # an object keeps the noise below it; it only changes brightness and colour
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon(outline, fill=255)
        left, top, right, bottom = mask.getbbox() or (0, 0, 1, 1)
        box = (left, top, right, bottom)
        for plane, strength in zip(planes, (45, 20, 20), strict=True):
            shift = float(random.uniform(-strength, strength))
            part = plane.crop(box)
            plane.paste(part.point([round(level + shift) for level in range(256)]), box, mask.crop(box))
    return Image.merge("YCbCr", planes).convert("RGB")


def cut_out(width: int, height: int, *, seed: int) -> Image.Image:
    """Draw a product without its background: RGBA with soft edges, transparent white outside."""
    product = photo(width, height, seed=seed)
    alpha = _silhouette(width, height, seed=seed)
    flat = Image.new("RGB", product.size, WHITE)
    flat.paste(product, mask=alpha.point([255 * (level > 0) for level in range(256)]))
    flat.putalpha(alpha)
    return flat


def packshot(width: int, height: int, *, seed: int) -> Image.Image:
    """Draw a product on pure white: RGB."""
    white = Image.new("RGB", (width, height), WHITE)
    white.paste(photo(width, height, seed=seed), mask=_silhouette(width, height, seed=seed))
    return white


def chart(width: int, height: int, *, seed: int) -> Image.Image:
    """Draw a chart of few colours with text and lines, such as a table of sizes: RGB."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(image)
    colours = [tuple(map(int, random.integers(0, 256, 3))) for _ in range(4)]
    step = max(12, height // 20)
    for row, top in enumerate(range(0, height - step, step)):
        draw.rectangle((0, top, width, top + step), fill=WHITE if row % 2 else colours[0])
        for left in range(0, width, max(40, width // 8)):
            draw.text((left + 4, top + 2), str(random.integers(10, 999)), fill=colours[1 + row % 3])
            draw.line((left, 0, left, height), fill=colours[1])
    return image


def _octaves(random: np.random.Generator, width: int, height: int) -> Field:
    """Sum octaves of noise, each twice as fine and about half as strong as the previous one."""
    sizes = [(width, height)]
    while min(sizes[-1]) > 4:  # noqa: PLR2004
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    strength = COARSEST
    field = np.zeros((1, 1), np.float32)
    for size in reversed(sizes):
        # coarse octaves are summed at their small size, so that the total costs little more than the finest
        grown = Image.fromarray(field).resize(size, Image.Resampling.BICUBIC)
        field = _noise(random, *size, strength)
        field += np.asarray(grown)
        strength *= FALL
    return field


def _noise(random: np.random.Generator, width: int, height: int, strength: float) -> Field:
    noise = random.standard_normal((height, width), np.float32)
    noise *= np.float32(strength)
    return noise


def _grey(field: Field) -> Image.Image:
    """Convert a field around zero to a plane of a picture; modifies the field."""
    field += 128
    return Image.fromarray(np.clip(field, 0, 255, out=field).astype(np.uint8))


def _outlines(random: np.random.Generator, width: int, height: int) -> list[list[tuple[float, float]]]:
    return [
        _outline(
            random,
            middle=(float(random.uniform(0, width)), float(random.uniform(0, height))),
            radius=float(random.uniform(0.04, 0.25)) * min(width, height),
        )
        for _ in range(THINGS)
    ]


def _outline(
    random: np.random.Generator, *, middle: tuple[float, float], radius: float
) -> list[tuple[float, float]]:
    corners = int(random.integers(4, 40))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = radius * random.uniform(0.75, 1.25, corners)
    return [
        (middle[0] + far * float(np.cos(angle)), middle[1] + far * float(np.sin(angle)))
        for angle, far in zip(angles, reach, strict=True)
    ]


def _silhouette(width: int, height: int, *, seed: int) -> Image.Image:
    mask = Image.new("L", (width, height))
    outline = _outline(
        np.random.default_rng(seed + 1), middle=(width / 2, height / 2), radius=0.38 * min(width, height)
    )
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(max(1, min(width, height) // 400)))
