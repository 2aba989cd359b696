"""One picture: quality, size, orientation, transparency."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pictures import disc, exif, far, opened, photo, pressed, saved, seen, shown, smooth
from PIL import Image, ImageOps

WANTED = ["jpeg", "png", "webp", "avif"]


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_jpeg_has_the_tables_of_quality_50(source: str) -> None:
    expected = opened(saved(photo(), "JPEG", quality=50))
    result = opened(pressed(saved(photo(), source), "jpeg").data)
    assert result.quantization == expected.quantization
    assert [layer[1:3] for layer in result.layer] == [(2, 2), (1, 1), (1, 1)]


@pytest.mark.parametrize("quality", [1, 30, 75, 100])
def test_quality_is_on_the_scale_of_pillow(quality: int) -> None:
    data = saved(photo(), "PNG")
    for kind, options in (
        ("jpeg", {"optimize": True}),
        ("webp", {"method": 5}),
        ("avif", {"speed": 8, "max_threads": 1}),
    ):
        assert pressed(data, kind, quality=quality).data == saved(photo(), kind, quality=quality, **options)


@pytest.mark.parametrize(
    "source, expected",
    [("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("AVIF", "avif"), ("BMP", "jpeg")],
)
def test_keep_keeps_the_format_but_for_bmp_and_tiff(source: str, expected: str) -> None:
    data = saved(photo(), source, **({"quality": 95} if source in ("JPEG", "WEBP", "AVIF") else {}))
    result = pressed(data)
    assert result.format == expected
    assert opened(result.data).format == expected.upper()


def test_tiff_becomes_png_only_if_it_is_transparent() -> None:
    opaque = photo().convert("RGBA")
    assert pressed(saved(opaque, "TIFF")).format == "jpeg"
    result = pressed(saved(disc(), "TIFF"))
    assert result.format == "png"
    assert far(shown(result.data), seen(disc())) < 6


def bmp_with_alpha(picture: Image.Image) -> bytes:
    """Write one with a version 4 header, which Pillow reads but does not write."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    size = struct.pack("<IiiHHIIiiII", 108, picture.width, -picture.height, 1, 32, 3, 0, 0, 0, 0, 0)
    head = (size + masks).ljust(108, b"\0")
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 108) + head + picture.tobytes("raw", "BGRA")


def test_bmp_becomes_png_only_if_it_is_transparent() -> None:
    assert opened(bmp_with_alpha(disc())).mode == "RGBA"
    result = pressed(bmp_with_alpha(disc()))
    assert result.format == "png"
    assert far(shown(result.data), seen(disc())) < 6
    unused = photo().convert("RGBA")
    unused.putalpha(0)
    result = pressed(bmp_with_alpha(unused))
    assert result.format == "jpeg"
    assert far(shown(result.data), seen(photo())) < 10


def test_mpo_is_a_jpeg_and_only_its_first_picture_counts() -> None:
    first, second = photo(), photo(seed=9)
    data = saved(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert opened(data).format == "MPO"
    for wanted in ("keep", "jpeg", "webp"):
        result = pressed(data, wanted)
        assert opened(result.data).n_frames == 1 if wanted == "webp" else result.format == "jpeg"
        assert far(shown(result.data), seen(first)) < 10


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(turn: int, source: str) -> None:
    options = {"quality": 100} if source in ("JPEG", "WEBP", "AVIF") else {}
    picture = smooth()
    data = saved(picture, source, exif=exif(turn), **options)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    for wanted in WANTED:
        result = pressed(data, wanted, quality=90)
        assert (result.width, result.height) == upright.size == opened(result.data).size
        assert opened(result.data).getexif().get(0x0112, 1) == 1
        assert far(shown(result.data), seen(upright)) < 8
    small = pressed(data, "png", max_width=24, quality=100)
    assert far(shown(small.data), seen(upright.resize((small.width, small.height)))) < 8


@pytest.mark.parametrize(
    "limits, size",
    [
        ({"max_width": 48}, (48, 32)),
        ({"max_height": 16}, (24, 16)),
        ({"max_width": 48, "max_height": 16}, (24, 16)),
        ({"max_width": 96, "max_height": 64}, (96, 64)),
        ({"max_width": 500}, (96, 64)),
        ({"max_width": 1, "max_height": 1}, (1, 1)),
        ({"max_width": 95}, (95, 63)),
    ],
)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
def test_limits_fit_and_never_enlarge(source: str, limits: dict[str, Any], size: tuple[int, int]) -> None:
    result = pressed(saved(photo(), source), "keep", **limits)
    assert (result.width, result.height) == size == opened(result.data).size


def test_limits_are_about_the_upright_image() -> None:
    data = saved(photo(96, 64), "JPEG", exif=exif(6))
    result = pressed(data, max_width=32)
    assert (result.width, result.height) == (32, 48)


def test_a_very_flat_image_keeps_one_pixel() -> None:
    result = pressed(saved(photo(900, 3), "PNG"), max_width=20)
    assert (result.width, result.height) == (20, 1)


def test_what_is_too_long_for_an_encoder_is_fitted_into_it() -> None:
    data = saved(Image.new("RGB", (20000, 4), "red"), "PNG")
    assert pressed(data, "webp").width == 16383
    assert pressed(data, "jpeg").width == 20000


@pytest.mark.parametrize("source", ["JPEG", "PNG"])
def test_shrinking_is_as_good_as_the_plain_way(source: str) -> None:
    picture = photo(800, 600)
    data = saved(picture, source)
    result = shown(pressed(data, "png", max_width=90, quality=100).data)
    assert far(result, seen(opened(data).resize((90, 68), Image.Resampling.LANCZOS))) < 2


def test_shrinking_draws_no_dark_rim() -> None:
    """White over transparent black: the rim must be white that fades, not grey."""
    picture = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (50, 50, 151, 151))
    for wanted in ("png", "webp"):
        pixels = np.asarray(opened(pressed(saved(picture, "PNG"), wanted, max_width=37).data).convert("RGBA"))
        visible = pixels[pixels[..., 3] > 16]
        assert len(visible) > 200
        assert visible[:, :3].min() > 235


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_jpeg_has_a_white_background(mode: str) -> None:
    picture = disc()
    data = saved(picture.convert("LA"), "TIFF") if mode == "LA" else saved(picture, "PNG")
    if mode == "PA":
        data = saved(picture.quantize(64), "PNG")
    result = opened(pressed(data, "jpeg", quality=90).data)
    assert result.getpixel((0, 0)) in (255, (255, 255, 255))
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    assert far(seen(result.convert("RGB")), seen(white.convert(result.mode).convert("RGB"))) < 8


@pytest.mark.parametrize("wanted", ["keep", "webp", "avif", "jpeg"])
@pytest.mark.parametrize("alpha", [5, bytes([0, 128, 255, 30] + [255] * 28)])
def test_palette_with_transparency(alpha: int | bytes, wanted: str) -> None:
    data = saved(photo().quantize(32), "PNG", transparency=alpha)
    source = opened(data).convert("RGBA")
    result = shown(pressed(data, wanted, quality=95).data)
    if wanted == "jpeg":
        white = Image.new("RGBA", source.size, "white")
        white.alpha_composite(source)
        source = white
    assert far(result, seen(source)) < (0.01 if wanted == "keep" else 9)


def test_colour_key_is_transparency() -> None:
    picture = photo()
    picture.paste((9, 8, 7), (0, 0, 40, 40))
    data = saved(picture, "PNG", transparency=(9, 8, 7))
    for wanted in ("png", "webp"):
        result = opened(pressed(data, wanted).data).convert("RGBA")
        assert result.getpixel((20, 20))[3] == 0
        assert result.getpixel((80, 50))[3] == 255
    assert min(opened(pressed(data, "jpeg").data).getpixel((20, 20))) > 245


def test_colour_key_of_shallow_grey_is_transparency() -> None:
    shades = Image.frombytes("L", (64, 64), bytes(85 * (x // 16) for _ in range(64) for x in range(64)))
    data = saved(shades.point(lambda value: value // 85), "PNG", bits=2, transparency=1)
    result = opened(pressed(data, "webp").data).convert("RGBA")
    assert [result.getpixel((x, 30))[3] for x in (8, 24, 40, 56)] == [255, 0, 255, 255]


@pytest.mark.parametrize("source", ["PNG", "TIFF"])
def test_one_bit_stays_one_bit(source: str) -> None:
    picture = photo().convert("1")
    result = pressed(saved(picture, source), "png")
    assert opened(result.data).mode in ("1", "P")
    assert far(shown(result.data), seen(picture)) == 0


def test_transparency_that_hides_nothing_is_dropped() -> None:
    solid = photo().convert("RGBA")
    assert opened(pressed(saved(solid, "PNG"), "webp").data).mode == "RGB"
    assert opened(pressed(saved(solid, "PNG"), "avif").data).mode == "RGB"
    unused = saved(photo().quantize(30), "PNG", transparency=bytes([255] * 30))
    assert "transparency" not in opened(pressed(unused).data).info
