"""Crop and pad: positions and colours in every format."""

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pictures import (
    animated,
    balls,
    disc,
    exif,
    far,
    frames_of,
    linear_grey,
    opened,
    photo,
    pressed,
    red_cyan_cmyk,
    saved,
    seen,
    shown,
    smooth,
    srgb,
)
from PIL import Image, ImageCms, ImageOps

from resizer.errors import TooManyPixels

Size = tuple[int, int]

TURNED = range(1, 9)
GREY = "#808080"
GREEN = "#20c060"


def corners(picture: Image.Image) -> list[tuple[int, ...]]:
    rgba = picture.convert("RGBA")
    right, bottom = rgba.width - 1, rgba.height - 1
    return [rgba.getpixel(place) for place in ((0, 0), (right, 0), (0, bottom), (right, bottom))]  # type: ignore[misc]


def near(colour: tuple[int, ...], other: tuple[int, ...], tolerance: int = 3) -> bool:
    return all(abs(one - two) <= tolerance for one, two in zip(colour, other, strict=True))


def reference(picture: Image.Image, fit: str, box: Size, background: str) -> Image.Image:
    """Make the expected picture with Pillow's own functions."""
    if fit == "cover":
        scale = min(picture.width / box[0], picture.height / box[1])
        if scale >= 1:
            return ImageOps.fit(picture, box, Image.Resampling.LANCZOS)
        size = max(round(box[0] * scale), 1), max(round(box[1] * scale), 1)
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    small = picture.copy()
    small.thumbnail(box, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", box if fit == "pad" else small.size, background)
    canvas.paste(small, ((canvas.width - small.width) // 2, (canvas.height - small.height) // 2))
    return canvas


@pytest.mark.parametrize("box", [(60, 60), (96, 64), (64, 96), (200, 150), (120, 30), (30, 120)])
@pytest.mark.parametrize("turn", TURNED)
@pytest.mark.parametrize("fit", ["inside", "cover", "pad"])
def test_result_is_what_pillow_makes_of_the_upright_picture(fit: str, turn: int, box: Size) -> None:
    data = saved(smooth(), "PNG", exif=exif(turn))
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    result = pressed(data, "png", quality=100, max_width=box[0], max_height=box[1], fit=fit, background=GREEN)
    wanted = reference(upright, fit, box, GREEN)
    assert (result.width, result.height) == opened(result.data).size == wanted.size
    difference = np.abs(shown(result.data) - seen(wanted))
    assert difference.mean() < 1.5
    # the border is where it is to be, to the pixel
    assert np.median(difference.max(axis=2)) <= 2
    if fit == "pad":
        border = np.all(np.asarray(wanted) == (0x20, 0xC0, 0x60), axis=2)
        assert border.any() or box in {(96, 64), (64, 96)}
        assert np.all(np.asarray(opened(result.data).convert("RGB"))[border] == (0x20, 0xC0, 0x60))


@pytest.mark.parametrize("fit", ["cover", "pad"])
def test_large_jpeg_is_cropped_and_padded_like_a_png(fit: str) -> None:
    """It is decoded at a fraction of its size."""
    picture = smooth(1601, 1203)
    for box in ((100, 100), (300, 50), (50, 301)):
        limits: dict[str, Any] = {"max_width": box[0], "max_height": box[1], "fit": fit, "quality": 100}
        jpeg = pressed(saved(picture, "JPEG", quality=98, subsampling=0), "png", **limits)
        assert opened(jpeg.data).size == box
        assert far(shown(jpeg.data), shown(pressed(saved(picture, "PNG"), "png", **limits).data)) < 2


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
@pytest.mark.parametrize("background", ["white", GREEN])
def test_border_has_the_colour_in_every_format(source: str, wanted: str, background: str) -> None:
    data = saved(photo(60, 30), source)
    result = pressed(data, wanted, quality=90, max_width=80, max_height=80, fit="pad", background=background)
    picture = opened(result.data)
    assert picture.size == (80, 80)
    expected = (255, 255, 255, 255) if background == "white" else (0x20, 0xC0, 0x60, 255)
    assert all(near(corner, expected) for corner in corners(picture))


@pytest.mark.parametrize("wanted", ["png", "webp", "avif", "keep"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "GIF", "WEBP"])
def test_none_is_transparent_where_the_target_can_be_and_white_elsewhere(source: str, wanted: str) -> None:
    data = saved(photo(60, 30), source)
    result = pressed(data, wanted, max_width=80, max_height=80, fit="pad", background="none")
    picture = opened(result.data).convert("RGBA")
    alpha = np.asarray(picture.getchannel("A"))
    if result.format == "jpeg":
        assert alpha.min() == 255
        assert all(near(corner, (255, 255, 255, 255)) for corner in corners(picture))
        return
    assert not alpha[:24].any()
    assert not alpha[-24:].any()
    assert not alpha[:, :9].any()
    assert alpha[27:53, 12:68].min() == 255


@pytest.mark.parametrize(
    "background, colour", [("none", (255, 255, 255)), ("white", (255, 255, 255)), (GREEN, (32, 192, 96))]
)
@pytest.mark.parametrize("wanted", ["keep", "webp", "jpeg"])
def test_padding_has_the_background_and_the_picture_its_transparency(
    wanted: str, background: str, colour: tuple[int, int, int]
) -> None:
    limits: dict[str, Any] = {"max_width": 120, "max_height": 120, "fit": "pad", "background": background}
    picture = opened(pressed(saved(disc(), "PNG"), wanted, quality=90, **limits).data).convert("RGBA")
    canvas = Image.new("RGBA", (120, 120), (*colour, 0 if background == "none" else 255))
    if wanted == "jpeg":
        canvas.putalpha(255)
        canvas.alpha_composite(disc(), (12, 28))
        assert picture.getchannel("A").getextrema() == (255, 255)
    else:
        canvas.paste(disc(), (12, 28))
        ours, theirs = (np.asarray(each.getchannel("A")) for each in (picture, canvas))
        for end in (0, 255):
            assert ((ours == end) >= (theirs == end)).all()
    white = [Image.new("RGBA", each.size, "white") for each in (picture, canvas)]
    for ground, each in zip(white, (picture, canvas), strict=True):
        ground.alpha_composite(each)
    assert far(seen(white[0]), seen(white[1])) < 4


@pytest.mark.parametrize("fit", ["cover", "pad"])
def test_source_that_has_the_size_of_the_box_may_be_kept(fit: str) -> None:
    data = saved(photo(), "JPEG", quality=5, optimize=True)
    assert pressed(data, quality=95, max_width=96, max_height=64, fit=fit).data == data


@pytest.mark.parametrize("background, expected", [("white", 255), ("none", 255), ("#000000", 0), (GREY, 128)])
def test_transparency_that_becomes_jpeg_is_seen_on_the_background(background: str, expected: int) -> None:
    for picture in (disc(), disc().convert("LA")):
        result = opened(pressed(saved(picture, "PNG"), "jpeg", quality=95, background=background).data)
        assert all(near(corner[:3], (expected,) * 3) for corner in corners(result))
        ground = Image.new("RGBA", picture.size, (expected, expected, expected, 255))
        ground.alpha_composite(picture.convert("RGBA"))
        assert far(seen(result), seen(ground)) < 8


def test_background_changes_nothing_where_nothing_is_seen_of_it() -> None:
    data = saved(photo(), "PNG")
    cases: list[tuple[str, dict[str, Any]]] = [("jpeg", {}), ("webp", {"max_width": 50}), ("png", {})]
    for wanted, limits in cases:
        assert pressed(data, wanted, **limits).data == pressed(data, wanted, background=GREEN, **limits).data


@cache
def wide() -> bytes:
    """A profile of primaries far from those of sRGB: its red and blue change places."""
    tags = ImageCms.ImageCmsProfile(BytesIO(srgb())).tobytes()
    return tags.replace(b"rXYZ", b"temp", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"temp", b"bXYZ", 1)


def in_srgb(picture: Image.Image) -> Image.Image:
    """What a viewer shows that heeds the profile."""
    profile = picture.info.get("icc_profile")
    if not profile:
        return picture.convert("RGBA")
    alpha = picture.convert("RGBA").getchannel("A") if "A" in picture.getbands() else None
    flat = picture.convert("RGB") if picture.mode not in ("L", "LA") else picture.getchannel("L")
    result = ImageCms.profileToProfile(
        flat, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert result is not None
    if alpha:
        result.putalpha(alpha)
    return result


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
def test_background_looks_like_its_colour_whatever_the_profile(wanted: str) -> None:
    data = saved(photo(60, 30), "PNG", icc_profile=wide())
    result = pressed(data, wanted, quality=95, max_width=80, max_height=80, fit="pad", background="#c02030")
    picture = opened(result.data)
    assert picture.info["icc_profile"] == wide()
    assert not near(corners(picture)[0][:3], (0xC0, 0x20, 0x30), 20)
    assert all(near(corner[:3], (0xC0, 0x20, 0x30), 6) for corner in corners(in_srgb(picture)))


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("profile", [None, linear_grey()])
@pytest.mark.parametrize("background", [GREY, "#c02030", "white", "none"])
def test_grey_picture_takes_any_background(background: str, profile: bytes | None, wanted: str) -> None:
    grey = photo(60, 30).convert("L")
    options = {} if profile is None else {"icc_profile": profile}
    result = pressed(
        saved(grey, "PNG", **options),
        wanted,
        quality=95,
        max_width=80,
        max_height=80,
        fit="pad",
        background=background,
    )
    picture = in_srgb(opened(result.data))
    if background == "none" and wanted != "jpeg":
        assert {corner[3] for corner in corners(picture)} == {0}
    else:
        expected = {GREY: (128,) * 3, "#c02030": (0xC0, 0x20, 0x30)}.get(background, (255,) * 3)
        assert all(near(corner[:3], expected, 6) for corner in corners(picture))
    # the picture itself looks as it did
    source = in_srgb(opened(saved(grey, "PNG", **options)))
    assert far(seen(picture.crop((10, 25, 70, 55)).convert("RGB")), seen(source)) < 6
    if background == GREY and wanted == "jpeg":
        assert opened(result.data).mode == "L"


def in_lab(picture: Image.Image) -> Image.Image:
    spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    result = ImageCms.profileToProfile(picture, *spaces, outputMode="LAB")
    assert result is not None
    return result


@pytest.mark.parametrize("fit", ["cover", "pad"])
@pytest.mark.parametrize("kind", ["1", "P", "P with alpha", "I;16", "CMYK", "LAB", "LA"])
def test_every_mode_of_a_source_is_cropped_and_padded(kind: str, fit: str) -> None:
    picture = photo(60, 30)
    sources = {
        "1": lambda: saved(picture.convert("1"), "PNG"),
        "P": lambda: saved(picture.quantize(16), "PNG"),
        "P with alpha": lambda: saved(picture.quantize(16), "PNG", transparency=3),
        "I;16": lambda: saved(Image.fromarray(np.asarray(picture.convert("L")).astype("u2") * 257), "PNG"),
        "CMYK": lambda: saved(picture.convert("CMYK"), "JPEG", icc_profile=red_cyan_cmyk()),
        "LAB": lambda: saved(in_lab(picture), "TIFF"),
        "LA": lambda: saved(disc(60, 30).convert("LA"), "PNG"),
    }
    for wanted in ("keep", "jpeg", "webp"):
        for box in ((40, 40), (20, 20)):
            result = pressed(
                sources[kind](),
                wanted,
                quality=95,
                max_width=box[0],
                max_height=box[1],
                fit=fit,
                background=GREEN,
            )
            size = box if fit == "pad" or box == (20, 20) else (30, 30)
            assert opened(result.data).size == (result.width, result.height) == size
            if fit == "pad":
                # a block of WebP reaches into the picture, which is 20 pixels wide
                most = 14 if wanted == "webp" else 8
                assert all(near(corner, (32, 192, 96, 255), most) for corner in corners(opened(result.data)))


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("background", ["none", GREEN])
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "PNG"])
def test_every_frame_is_padded(kind: str, background: str, clear: bool) -> None:
    frames = balls(4, clear=clear, size=(60, 40))
    data = animated(frames, kind, duration=50, **({"disposal": 2} if kind == "GIF" else {}))
    result = pressed(data, quality=90, max_width=80, max_height=80, fit="pad", background=background)
    assert result.format == kind.lower()
    made = frames_of(result.data)
    assert len(made) == len(frames_of(data))
    for (pixels, _), (before, _) in zip(made, frames_of(data), strict=True):
        assert pixels.shape[:2] == (80, 80)
        corner = pixels[0, 0]
        assert near(tuple(corner), (0, 0, 0, 0) if background == "none" else (32, 192, 96, 255), 8)
        assert far(pixels[20:60, 10:70], before) < 8


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "PNG"])
def test_every_frame_is_cropped(kind: str) -> None:
    frames = balls(4, clear=False, size=(60, 40))
    data = animated(frames, kind, duration=50)
    for box, size in (((200, 200), (40, 40)), ((30, 30), (30, 30))):
        result = pressed(data, quality=90, max_width=box[0], max_height=box[1], fit="cover")
        made = frames_of(result.data)
        assert len(made) == len(frames_of(data))
        for (pixels, _), (before, _) in zip(made, frames_of(data), strict=True):
            assert pixels.shape[:2] == size[::-1]
            middle = Image.fromarray(before[:, 10:50].astype("u1")).resize(size, Image.Resampling.LANCZOS)
            assert far(pixels, np.asarray(middle).astype(float)) < 12


def test_frames_times_canvas_are_limited() -> None:
    """A small animation would fill as many large canvases as it has frames."""
    data = animated(balls(6, size=(64, 24)), "GIF", duration=50, disposal=2)
    assert len(frames_of(data)) == 6
    limits: dict[str, Any] = {"max_width": 400, "max_height": 500, "fit": "pad"}
    assert pressed(data, max_pixels=6 * 200_000, **limits).width == 400
    with pytest.raises(TooManyPixels, match="400 × 500 pixels × 6 frames"):
        pressed(data, max_pixels=6 * 200_000 - 1, **limits)
    assert pressed(data, "jpeg", max_pixels=200_000, **limits).width == 400
    with pytest.raises(TooManyPixels):
        pressed(data, "jpeg", max_pixels=199_999, **limits)


@pytest.mark.parametrize("background", ["white", "none"])
def test_padded_tiff_becomes_png_only_for_its_own_transparency(background: str) -> None:
    limits: dict[str, Any] = {"max_width": 100, "max_height": 100, "fit": "pad", "background": background}
    assert pressed(saved(disc(), "TIFF"), **limits).format == "png"
    assert pressed(saved(photo(), "TIFF"), **limits).format == "jpeg"
