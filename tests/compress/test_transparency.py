"""What was fully transparent or fully opaque is so afterwards, pixel by pixel."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import animated, balls, disc, opened, photo, pressed, saved
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from resizer.recipe import Effort

CASES = Path(__file__).parent / "cases"
SIZE = (120, 90)


def over(draw: Callable[[ImageDraw.ImageDraw], object], blur: float = 0) -> Image.Image:
    mask = Image.new("L", SIZE)
    draw(ImageDraw.Draw(mask))
    picture = photo(*SIZE).convert("RGBA")
    picture.putalpha(mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask)
    return picture


def lines(draw: ImageDraw.ImageDraw) -> None:
    for at in range(0, 120, 7):
        draw.line((at, 0, 119 - at, 89), fill=255)
        draw.point((at, 5), fill=1 + at)


def text(draw: ImageDraw.ImageDraw) -> None:
    for top in range(4, 80, 18):
        draw.text((3, top), "Oak chair 50 %", fill=255, font=ImageFont.load_default(15))


def speckled() -> Image.Image:
    """Every alpha there is, each next to any other."""
    picture = photo(*SIZE).convert("RGBA")
    picture.putalpha(Image.fromarray(np.random.default_rng(5).integers(0, 256, SIZE[::-1], np.uint8)))
    return picture


def nearly() -> Image.Image:
    """Alphas next to the ends: the nearest entry is never of the right one by itself."""
    picture = photo(*SIZE).convert("RGBA")
    alphas = np.random.default_rng(5).choice(np.array([0, 1, 2, 253, 254, 255], np.uint8), SIZE[::-1])
    picture.putalpha(Image.fromarray(alphas))
    return picture


def lonely() -> Image.Image:
    """One clear and one opaque pixel: too few for an entry of their own."""
    picture = photo(*SIZE).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(SIZE).point(lambda value: 60 + value // 2))
    picture.putpixel((3, 4), (200, 10, 10, 0))
    picture.putpixel((60, 50), (10, 10, 200, 255))
    return picture


KINDS: dict[str, Callable[[], Image.Image]] = {
    "hard edges": lambda: over(lambda draw: draw.ellipse((20, 10, 100, 80), fill=255)),
    "soft edges": lambda: over(lambda draw: draw.ellipse((30, 20, 90, 70), fill=255), 1),
    "soft shadow": lambda: over(lambda draw: draw.ellipse((40, 30, 80, 60), fill=255), 9),
    "text": lambda: over(text),
    "thin lines": lambda: over(lines),
    "all clear": lambda: over(lambda draw: draw.point((0, 0), fill=0)),
    "all opaque": lambda: over(lambda draw: draw.rectangle((0, 0, *SIZE), fill=255)),
    "speckled": speckled,
    "next to the ends": nearly,
    "one pixel of each end": lonely,
    "real shadow": lambda: opened((CASES / "shadow.png").read_bytes()),
}


def ends_kept(source: Image.Image, result: Image.Image) -> bool:
    before, after = (np.asarray(each.convert("RGBA").getchannel("A")) for each in (source, result))
    return all(np.array_equal(after[before == end], before[before == end]) for end in (0, 255))


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("wanted", ["png", "webp", "avif"])
@pytest.mark.parametrize("kind", KINDS)
def test_ends_of_transparency_are_exact(kind: str, wanted: str, effort: Effort) -> None:
    picture = KINDS[kind]()
    assert ends_kept(picture, opened(pressed(saved(picture, "PNG"), wanted, effort=effort).data))


@pytest.mark.parametrize("quality", [1, 20, 80, 99, 100])
@pytest.mark.parametrize("wanted", ["png", "webp", "avif"])
def test_ends_are_exact_at_any_quality(wanted: str, quality: int) -> None:
    for make in (KINDS["soft edges"], speckled, nearly):
        picture = make()
        assert ends_kept(picture, opened(pressed(saved(picture, "PNG"), wanted, quality=quality).data))


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("wanted", ["keep", "png", "webp", "avif"])
@pytest.mark.parametrize("source", ["LA", "palette", "palette with a key", "colour key", "WEBP", "TIFF"])
def test_ends_are_exact_however_the_source_says_them(source: str, wanted: str, effort: Effort) -> None:
    picture = KINDS["soft edges"]()
    match source:
        case "LA":
            data = saved(picture.convert("LA"), "PNG")
        case "palette":
            data = saved(picture.quantize(200), "PNG")
        case "palette with a key":
            data = saved(photo(*SIZE).quantize(200), "PNG", transparency=7)
        case "colour key":
            keyed = photo(*SIZE)
            keyed.paste((9, 8, 7), (0, 0, 40, 40))
            data = saved(keyed, "PNG", transparency=(9, 8, 7))
        case _:
            data = saved(picture, source)
    assert ends_kept(opened(data), opened(pressed(data, wanted, effort=effort).data))


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize(
    "source, wanted", [("PNG", "keep"), ("PNG", "webp"), ("GIF", "keep"), ("GIF", "avif")]
)
def test_ends_are_exact_in_every_frame(source: str, wanted: str, effort: Effort) -> None:
    if source == "GIF":
        data = animated(balls(4), source, duration=50, disposal=2)
    else:
        soft = [over(lambda draw: draw.ellipse((40, 30, 80, 60), fill=255), blur) for blur in (0, 1, 4)]
        data = animated(soft, source, duration=50)
    before, after = (opened(each) for each in (data, pressed(data, wanted, effort=effort).data))
    for frame in range(before.n_frames):
        before.seek(frame)
        after.seek(frame)
        assert ends_kept(before.convert("RGBA"), after.convert("RGBA"))


def test_gif_has_holes_just_where_more_is_clear_than_opaque() -> None:
    data = saved(disc().convert("RGBA"), "GIF")
    alpha = np.asarray(opened(pressed(data).data).convert("RGBA").getchannel("A"))
    assert np.array_equal(alpha, np.asarray(opened(data).convert("RGBA").getchannel("A")))


def on_ground(picture: Image.Image, grey: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    ground = Image.new("RGBA", picture.size, (grey, grey, grey, 255))
    ground.alpha_composite(picture.convert("RGBA"))
    return np.asarray(ground.convert("L")).astype(np.int16)


@pytest.mark.parametrize("wanted", ["png", "webp", "avif"])
@pytest.mark.parametrize(
    "effort, banded",
    [(Effort.BALANCED, False), (Effort.SMALL, False), (Effort.FAST, True)],
)
def test_soft_shadow_has_no_bands(effort: Effort, wanted: str, banded: bool) -> None:
    """Where the source changes by little from pixel to pixel, the result does; PNG's octree shows bands."""
    source = KINDS["real shadow"]()
    result = opened(pressed(saved(source, "PNG"), wanted, effort=effort).data)
    alpha = np.asarray(source.getchannel("A"))
    soft = (alpha > 0) & (alpha < 255)
    steepest, furthest = 0.0, 0.0
    for grey in (255, 128, 0):
        before, after = on_ground(source, grey), on_ground(result, grey)
        even = (np.abs(np.diff(before)) <= 3) & soft[:, 1:] & soft[:, :-1]
        steepest = max(steepest, float(np.percentile(np.abs(np.diff(after))[even], 99.9)))
        furthest = max(furthest, float(np.abs(before - after)[soft].mean()))
    assert (steepest > 8 or furthest > 2) is (banded and wanted == "png"), (steepest, furthest)
