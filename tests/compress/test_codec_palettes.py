"""Palettes of PNG: images of many colours below quality 100."""

from pathlib import Path

import numpy as np
import pytest
from pictures import disc, far, opened, photo, pressed, saved, seen, shown, srgb
from PIL import Image

from resizer.recipe import Effort

EFFORTS = list(Effort)
SHADOW = (Path(__file__).parent / "cases" / "shadow.png").read_bytes()
GROUNDS = {"white": (255, 255, 255), "grey": (247, 247, 247), "odd": (33, 193, 97)}


def product(ground: tuple[int, int, int], size: tuple[int, int] = (240, 180)) -> Image.Image:
    """A photo in the middle of nothing, its rim as smooth as resizing leaves it."""
    picture = Image.new("RGB", size, ground)
    mask = disc(*size).getchannel("A")
    picture.paste(photo(*size), mask=mask)
    return picture


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_flat_ground_keeps_its_very_colour(ground: str, effort: Effort) -> None:
    colour = GROUNDS[ground]
    source = product(colour)
    result = opened(pressed(saved(source, "PNG"), effort=effort).data)
    assert result.mode == "P"
    flat = (np.asarray(source) == colour).all(axis=-1)
    assert flat.mean() > 0.3
    assert (np.asarray(result.convert("RGB"))[flat] == colour).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_more_effort_looks_better_than_octree(mode: str) -> None:
    picture = disc(240, 180) if mode == "RGBA" else photo(240, 180)
    fast, balanced, small = (pressed(saved(picture, "PNG"), effort=effort).data for effort in EFFORTS)
    assert far(shown(balanced), seen(picture)) < 0.75 * far(shown(fast), seen(picture))
    assert far(shown(small), seen(picture)) < 0.75 * far(shown(fast), seen(picture))
    assert len(small) <= len(balanced)


@pytest.mark.parametrize("effort", [Effort.BALANCED, Effort.SMALL])
@pytest.mark.parametrize("picture", [disc(240, 180), opened(SHADOW)], ids=["cut out", "shadow"])
def test_quality_decides_how_many_colours_there_are(picture: Image.Image, effort: Effort) -> None:
    qualities = (1, 25, 50, 75, 99)
    results = [pressed(saved(picture, "PNG"), quality=quality, effort=effort).data for quality in qualities]
    colours = [len(opened(result).getcolors()) for result in results]
    assert colours == sorted(colours)
    assert colours[0] < colours[-1] <= 256
    errors = [far(shown(result), seen(picture)) for result in results]
    assert errors[0] > errors[2] >= errors[-1]


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("picture", [photo(), disc()], ids=["opaque", "cut out"])
def test_palette_keeps_the_profile(picture: Image.Image, effort: Effort) -> None:
    result = opened(pressed(saved(picture, "PNG", icc_profile=srgb()), effort=effort).data)
    assert result.mode == "P"
    assert result.info["icc_profile"] == srgb()


@pytest.mark.parametrize("effort", EFFORTS)
def test_few_colours_stay_what_they_are(effort: Effort) -> None:
    few = photo().quantize(200).convert("RGBA")
    few.putalpha(few.getchannel("R").point(lambda value: value // 128 * 255))
    assert len(few.getcolors() or ()) <= 256
    assert far(shown(pressed(saved(few, "PNG"), effort=effort).data), seen(few)) == 0


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("size", [(1, 300), (300, 1), (17, 19)])
def test_odd_sizes_get_a_palette_too(size: tuple[int, int], effort: Effort) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 4), np.uint8)
    result = opened(pressed(saved(Image.fromarray(noise), "PNG"), effort=effort, max_pixels=1000).data)
    assert result.size == size
