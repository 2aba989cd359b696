"""JPEG: decoded by libjpeg-turbo itself, written as each effort asks."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import disc, exif, far, linear_grey, opened, photo, pressed, saved, seen, shown, smooth, srgb
from PIL import Image, ImageDraw, ImageFont
from ssimulacra2 import compute_ssimulacra2

from resizer.compress.codec import compressing, jpeg, turbo, vips
from resizer.compress.codec.chroma import has_thin_colours
from resizer.recipe import Effort

EFFORTS = list(Effort)
RED_TEXT = (Path(__file__).parent / "cases" / "red_text_444.jpg").read_bytes()
SOURCES: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "4:2:0": (photo(), {"subsampling": 2}),
    "4:2:2": (photo(), {"subsampling": 1}),
    "4:4:4": (photo(), {"subsampling": 0}),
    "grey": (photo().convert("L"), {}),
    "progressive": (photo(), {"progressive": True}),
    "restarts": (photo(), {"restart_marker_rows": 1}),
    "odd": (photo(97, 61), {}),
    "one pixel": (photo(1, 1), {}),
    "narrow": (photo(3, 200), {}),
}
#: images that reach the encoder by another way
OTHERS: dict[str, bytes] = {
    "CMYK": saved(photo().convert("CMYK"), "JPEG", quality=95),
    "RGB": saved(photo(), "JPEG", quality=95, keep_rgb=True),
    "turned": saved(photo(), "JPEG", quality=95, exif=exif(6)),
    "grey with a profile": saved(photo().convert("L"), "JPEG", quality=95, icc_profile=linear_grey()),
    "profile": saved(photo(), "JPEG", quality=95, icc_profile=srgb()),
    "PNG": saved(photo(), "PNG"),
    "PNG, grey": saved(photo().convert("L"), "PNG"),
    "PNG, 16 bits": saved(Image.fromarray(np.arange(96 * 64, dtype="u2").reshape(64, 96) * 10), "PNG"),
    "PNG, clear": saved(disc(), "PNG"),
    "palette": saved(photo().quantize(64), "PNG"),
    "WebP": saved(photo(), "WEBP", quality=95),
}


def decoded(data: bytes) -> Image.Image | None:
    source = opened(data)
    return turbo.decode(data, mode=source.mode, size=source.size)


def error(data: bytes, source: bytes) -> float:
    """Return the mean square difference over luma and chroma."""
    one, other = (np.asarray(opened(each).convert("YCbCr"), dtype=float) for each in (data, source))
    return float(((one - other) ** 2).mean())


@pytest.mark.parametrize("quality", [1, 50, 90, 100])
@pytest.mark.parametrize("name", SOURCES)
def test_it_is_like_pillow_or_nearer_to_the_source(name: str, quality: int) -> None:
    picture, options = SOURCES[name]
    data = saved(picture, "JPEG", quality=98, **options)
    theirs = saved(opened(data), "JPEG", quality=quality)
    fast, balanced = (
        pressed(data, quality=quality, effort=effort).data for effort in (Effort.FAST, Effort.BALANCED)
    )
    if quality == 100 and len(theirs) >= len(data):
        assert len(fast) <= len(data)
        return
    one, other = opened(fast), opened(theirs)
    assert (one.size, one.mode) == (other.size, other.mode)
    assert one.quantization == other.quantization
    assert [layer[1:3] for layer in one.layer] == [layer[1:3] for layer in other.layer]
    assert error(fast, data) <= error(theirs, data) * 1.02 + 1
    assert len(fast) <= len(theirs) * 1.02 + 16
    # the same coefficients, with tables of their own
    assert opened(balanced).quantization == one.quantization
    assert np.array_equal(np.asarray(opened(balanced)), np.asarray(one))
    assert len(balanced) < len(fast)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("name", OTHERS)
def test_whatever_the_source_every_effort_writes_what_it_shows(name: str, effort: Effort) -> None:
    data = OTHERS[name]
    result = pressed(data, "jpeg", quality=80, effort=effort)
    picture = opened(result.data)
    plain = pressed(data, "jpeg", quality=95, effort=Effort.FAST)
    assert (picture.mode, picture.size) == (opened(plain.data).mode, opened(plain.data).size)
    assert picture.mode == ("L" if "grey" in name or "16" in name else "RGB")
    assert far(seen(picture), shown(plain.data)) < 6
    assert picture.info.get("icc_profile") == opened(plain.data).info.get("icc_profile")
    assert ("icc_profile" in picture.info) is ("profile" in name)
    assert "exif" not in picture.info
    small = pressed(data, "jpeg", quality=80, max_width=48, effort=effort)
    assert small.width == 48
    assert opened(small.data).mode == picture.mode


@pytest.mark.parametrize("name", [*OTHERS, *SOURCES])
def test_more_effort_takes_no_more_bytes(name: str) -> None:
    for quality in (20, 50, 80):
        data = OTHERS.get(name) or saved(SOURCES[name][0], "JPEG", quality=98, **SOURCES[name][1])
        sizes = [len(pressed(data, "jpeg", quality=quality, effort=effort).data) for effort in EFFORTS]
        assert sizes == sorted(sizes, reverse=True), (quality, sizes)


def test_chroma_at_half_size_is_not_smoothed() -> None:
    hard = Image.fromarray(np.kron(np.eye(32, dtype="u1"), np.ones((2, 2), "u1")) * 255).convert("RGB")
    hard.paste((255, 0, 0), mask=hard.convert("L"))
    data = saved(hard, "JPEG", quality=97, subsampling=2)
    ours = pressed(data, quality=95, effort=Effort.FAST).data
    assert error(ours, data) < error(saved(opened(data), "JPEG", quality=95), data)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("copies", [1, 40])
def test_profile_of_any_length_is_written(copies: int, effort: Effort) -> None:
    # a tag that no reader knows makes it longer than one segment holds
    profile = srgb() + bytes(3000 * (copies - 1))
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    result = opened(pressed(saved(photo(), "JPEG", quality=95, icc_profile=profile), effort=effort).data)
    assert result.info["icc_profile"] == profile


@pytest.mark.parametrize(
    "data",
    [
        saved(photo().convert("CMYK"), "JPEG"),
        saved(photo(), "JPEG", keep_rgb=True),
        saved(photo(), "JPEG")[:-300],
        saved(photo(), "JPEG").replace(b"\xff\xd9", b"\xff\xd8\xff\xd9"),
        b"",
    ],
    ids=["CMYK", "RGB", "cut off", "damaged", "empty"],
)
def test_what_is_seldom_or_damaged_is_left_to_pillow(data: bytes) -> None:
    assert turbo.decode(data, mode="RGB", size=(96, 64)) is None


def test_nothing_is_made_of_what_pillow_has_read_otherwise() -> None:
    data = saved(photo(), "JPEG")
    assert turbo.decode(data, mode="RGB", size=(96, 64)) is not None
    assert turbo.decode(data, mode="L", size=(96, 64)) is None
    assert turbo.decode(data, mode="RGB", size=(64, 96)) is None


@pytest.mark.parametrize(
    "recipe, taken",
    [({}, True), ({"wanted": "jpeg"}, True), ({"max_width": 50}, False), ({"wanted": "webp"}, False)],
)
def test_it_is_taken_where_only_the_quality_changes(
    recipe: dict[str, Any], taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def noted(data: bytes, **options: Any) -> Image.Image | None:
        asked.append(data)
        return turbo.decode(data, **options)

    monkeypatch.setattr(compressing, "decode", noted)
    pressed(saved(smooth(), "JPEG", quality=95), **recipe)
    assert bool(asked) is taken


def test_damaged_file_that_pillow_gets_over_is_compressed() -> None:
    data = saved(photo(600, 400), "JPEG", quality=95)
    middle = len(data) // 2
    damaged = data[:middle] + b"\xff\xd0" + data[middle:]
    assert turbo.decode(damaged, mode="RGB", size=(600, 400)) is None
    result = pressed(damaged)
    assert (result.width, result.height) == (600, 400)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("quality", [80, 94, 95, 100])
def test_noise_that_takes_more_bytes_than_usual_is_written(quality: int, effort: Effort) -> None:
    """Tables are optimised in one piece of memory, of a size that Pillow takes too small for this."""
    noise = Image.fromarray(np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (300, 400, 3)))
    result = opened(pressed(saved(noise, "PNG"), "jpeg", quality=quality, effort=effort).data)
    assert result.layer[0][1:3] == (1, 1)
    assert result.size == noise.size


def test_trellis_quality_grows_with_quality() -> None:
    qualities = [jpeg.trellis_quality(quality) for quality in range(1, 101)]
    assert all(low <= high for low, high in pairwise(qualities[:85]))
    assert min(qualities) >= 1


@pytest.mark.parametrize("quality", [15, 30, 50, 70, 85])
def test_small_looks_no_worse_than_pillow(quality: int) -> None:
    gains, sizes = [], []
    for seed, size in ((2, (600, 450)), (3, (450, 600))):
        source = photo(*size, seed=seed)
        # camera files have less noise than our photo
        source = opened(saved(source.resize((300, 300)).resize(size), "JPEG", quality=95))
        data = saved(source, "JPEG", quality=98)
        ours = pressed(data, quality=quality, effort=Effort.SMALL).data
        theirs = saved(source, "JPEG", quality=quality)
        gains.append(
            compute_ssimulacra2(*map(BytesIO, (data, ours)))
            - compute_ssimulacra2(*map(BytesIO, (data, theirs)))
        )
        sizes.append(len(ours) / len(theirs))
    assert min(gains) > -1, gains
    assert max(sizes) < (0.9 if quality <= 50 else 0.98), sizes


def edge_error(data: bytes) -> float:
    """Return by how much red letters have faded."""
    before, after = (np.asarray(opened(each).convert("RGB")).astype(int) for each in (RED_TEXT, data))
    red = before[..., 0] - before[..., 1] > 120
    return float(np.abs(before - after)[red].mean())


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("source", ["JPEG", "PNG"])
def test_red_letters_keep_their_colour(source: str, effort: Effort) -> None:
    data = RED_TEXT if source == "JPEG" else saved(opened(RED_TEXT), "PNG")
    halved = saved(opened(RED_TEXT), "JPEG", quality=50, subsampling=2)
    ours = pressed(data, "jpeg", effort=effort).data
    assert opened(ours).layer[0][1:3] == (1, 1)
    assert edge_error(ours) < 30
    assert edge_error(halved) > 50
    assert edge_error(pressed(data, "webp", effort=effort).data) < 45
    assert edge_error(pressed(data, "avif", effort=effort).data) < 40


@pytest.mark.parametrize("effort", EFFORTS)
def test_chroma_is_halved_if_that_is_not_seen(effort: Effort) -> None:
    black = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(black).text((5, 5), "Oak chair", fill="black", font=ImageFont.load_default(30))
    for data in (
        saved(photo(), "JPEG", quality=95, subsampling=0),
        saved(photo(), "PNG"),
        saved(black, "PNG"),
    ):
        assert opened(pressed(data, "jpeg", effort=effort).data).layer[0][1:3] == (2, 2)
    # halved once, it equals the original
    halved = saved(opened(RED_TEXT), "JPEG", quality=95, subsampling=2)
    assert opened(pressed(halved, effort=effort).data).layer[0][1:3] == (2, 2)


def test_colour_that_hides_behind_nothing_does_not_count() -> None:
    hidden = opened(RED_TEXT).convert("RGBA")
    assert has_thin_colours(hidden)
    hidden.putalpha(0)
    assert not has_thin_colours(hidden)


def test_thin_colours_are_found_in_a_part_of_a_large_picture() -> None:
    tall = Image.new("RGB", (300, 12_000), "white")
    for top in range(0, 12_000, 120):
        tall.paste(opened(RED_TEXT), (0, top))
    assert has_thin_colours(tall)
    assert not has_thin_colours(Image.new("RGB", (300, 12_000), "red"))
    for size in ((1, 1), (1, 50), (50, 1)):
        assert not has_thin_colours(photo(*size))


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("effort", EFFORTS)
def test_without_libvips_a_simpler_way_is_taken(
    effort: Effort, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vips, "MISSING", "no such module")
    monkeypatch.setattr(vips, "pyvips", None)
    for picture in (disc(), opened(RED_TEXT)):
        result = opened(pressed(saved(picture, "PNG"), wanted, effort=effort).data)
        assert result.size == picture.size
