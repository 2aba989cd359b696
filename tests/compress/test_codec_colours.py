"""Colour profiles, CMYK, deep greys, and PNG's palettes."""

import struct
import zlib

import numpy as np
import pytest
from pictures import (
    disc,
    far,
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
from PIL import Image, ImageCms

WANTED = ["jpeg", "png", "webp", "avif"]


def icc(data: bytes) -> object:
    return opened(data).info.get("icc_profile")


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_colour_profile_is_kept(source: str, wanted: str) -> None:
    data = saved(photo(), source, icc_profile=srgb())
    assert icc(pressed(data, wanted).data) == srgb()
    assert icc(pressed(data, wanted, max_width=40).data) == srgb()


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_padding_behind_a_profile_is_not_copied(source: str, wanted: str) -> None:
    data = saved(photo(), source, icc_profile=srgb() + bytes(200_000))
    assert icc(pressed(data, wanted).data) == srgb()


@pytest.mark.parametrize("wanted", WANTED)
def test_colour_profile_of_a_palette_is_kept(wanted: str) -> None:
    assert icc(pressed(saved(photo().quantize(32), "PNG", icc_profile=srgb()), wanted).data) == srgb()


@pytest.mark.parametrize("wanted", WANTED)
def test_grey_profile_goes_with_grey_or_is_applied(wanted: str) -> None:
    data = saved(Image.new("L", (64, 64), 128), "PNG", icc_profile=linear_grey())
    result = opened(pressed(data, wanted, quality=95).data)
    if wanted == "webp":
        # linear 128 is sRGB 188
        assert result.info.get("icc_profile") is None
        assert abs(result.getpixel((30, 30))[0] - 188) < 4
    else:
        assert result.mode == "L"
        assert result.info["icc_profile"] == linear_grey()
        assert abs(result.getpixel((30, 30)) - 128) < 4


@pytest.mark.parametrize("wanted", ["png", "webp", "avif"])
def test_grey_profile_beside_transparency_is_applied(wanted: str) -> None:
    picture = Image.new("LA", (64, 64), (128, 255))
    picture.paste((0, 0), (0, 0, 20, 20))
    result = opened(pressed(saved(picture, "PNG", icc_profile=linear_grey()), wanted).data)
    assert result.info.get("icc_profile") is None
    red, _, _, alpha = result.convert("RGBA").getpixel((50, 50))
    assert abs(red - 188) < 4
    assert alpha == 255
    assert result.convert("RGBA").getpixel((8, 8))[3] == 0


@pytest.mark.parametrize("wanted", WANTED)
def test_profile_that_does_not_fit_is_dropped(wanted: str) -> None:
    assert icc(pressed(saved(photo(), "PNG", icc_profile=linear_grey()), wanted).data) is None
    assert icc(pressed(saved(photo().convert("L"), "PNG", icc_profile=srgb()), wanted).data) is None
    assert icc(pressed(saved(photo(), "PNG", icc_profile=b"\0" * 200), wanted).data) is None


@pytest.mark.parametrize("source", ["JPEG", "TIFF"])
@pytest.mark.parametrize("wanted", ["keep", *WANTED])
def test_cmyk_becomes_srgb_through_its_profile(source: str, wanted: str) -> None:
    cyan = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    result = opened(pressed(saved(cyan, source, icc_profile=red_cyan_cmyk()), wanted, quality=90).data)
    red, green, blue = result.convert("RGB").getpixel((30, 30))
    assert red > 180
    assert green < 120
    assert blue < 120
    assert result.info.get("icc_profile") is None


@pytest.mark.parametrize("bad", [None, b"\0" * 300, "srgb", "cut"])
def test_cmyk_without_a_profile_of_its_own_is_converted_plainly(bad: bytes | str | None) -> None:
    named = {"srgb": srgb(), "cut": red_cyan_cmyk()[:600]}
    profile = named[bad] if isinstance(bad, str) else bad
    data = saved(smooth().convert("CMYK"), "JPEG", quality=95, icc_profile=profile)
    result = pressed(data, quality=90)
    assert opened(result.data).mode == "RGB"
    assert far(shown(result.data), seen(opened(data).convert("RGB"))) < 4


def test_inverted_ycck_of_adobe_is_read_the_right_way_round() -> None:
    data = saved(smooth().convert("CMYK"), "JPEG", quality=95, subsampling=0)
    # Pillow writes Adobe's inverted CMYK with transform 0; as YCCK it is the same with transform 2
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0
    assert far(shown(pressed(data, quality=95).data), seen(smooth())) < 6
    ycck = data[: marker + 11] + b"\2" + data[marker + 12 :]
    assert opened(ycck).mode == "CMYK"
    result = pressed(ycck, quality=95)
    assert opened(result.data).mode == "RGB"
    assert far(shown(result.data), seen(opened(ycck).convert("RGB"))) < 4


def test_lab_becomes_srgb() -> None:
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(smooth(), transform)
    assert lab
    result = pressed(saved(lab, "TIFF"), quality=95)
    assert far(shown(result.data), seen(smooth())) < 6


def ramp() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, 64 * 64).astype("u2").reshape(64, 64))


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("source", ["PNG", "TIFF", "big-endian"])
def test_sixteen_bit_grey_is_scaled_not_clipped(source: str, wanted: str) -> None:
    if source == "big-endian":
        swapped = np.asarray(ramp()).byteswap().tobytes()
        data = saved(Image.frombytes("I;16B", (64, 64), swapped), "TIFF")
    else:
        data = saved(ramp(), source)
    result = opened(pressed(data, wanted, quality=99).data).convert("L")
    expected = np.linspace(0, 255, 64 * 64).reshape(64, 64)
    assert np.abs(np.asarray(result) - expected).mean() < 2


def sixteen_bit_png(colour_type: int, samples: int, *extra: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    pixel = struct.pack(f">{samples}H", *(40000, 20000, 65535, 30000)[:samples])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 16, colour_type, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress((b"\0" + pixel * 32) * 32))
    middle = b"".join(chunk(*one) for one in extra)
    return b"\x89PNG\r\n\x1a\n" + head + middle + body + chunk(b"IEND", b"")


def test_sixteen_bit_colour_keeps_its_upper_half() -> None:
    result = opened(pressed(sixteen_bit_png(2, 3), "png").data).convert("RGB")
    assert result.getpixel((5, 5)) == (40000 >> 8, 20000 >> 8, 255)


@pytest.mark.parametrize(
    "colour_type, samples, key",
    [(2, 3, struct.pack(">3H", 40000, 20000, 65535)), (0, 1, struct.pack(">H", 40000))],
)
def test_sixteen_bit_colour_key_is_transparency(colour_type: int, samples: int, key: bytes) -> None:
    data = sixteen_bit_png(colour_type, samples, (b"tRNS", key))
    assert opened(pressed(data, "webp").data).convert("RGBA").getpixel((5, 5))[3] == 0
    other = sixteen_bit_png(colour_type, samples, (b"tRNS", bytes(len(key))))
    assert opened(pressed(other, "webp").data).convert("RGBA").getpixel((5, 5))[3] == 255


def test_sixteen_bit_png_is_kept_where_lossless_is_asked() -> None:
    data = saved(ramp(), "PNG")
    assert pressed(data, quality=100).data == data


@pytest.mark.parametrize("source", ["PNG", "JPEG", "BMP"])
def test_png_below_100_has_a_palette(source: str) -> None:
    result = pressed(saved(photo(), source), "png")
    assert opened(result.data).mode == "P"
    assert far(shown(result.data), seen(photo())) < 10


def test_png_at_100_is_lossless() -> None:
    for picture in (photo(), disc(), disc().convert("LA"), photo().quantize(20), photo().convert("L")):
        for source in ("PNG", "TIFF"):
            if picture.mode == "P" and source == "TIFF":
                continue
            assert far(shown(pressed(saved(picture, source), "png", quality=100).data), seen(picture)) == 0


@pytest.mark.parametrize("quality", [50, 100])
@pytest.mark.parametrize("depths", [256, 16, 4, 2])
def test_png_of_few_colours_loses_none(depths: int, quality: int) -> None:
    luck = np.random.default_rng(depths)
    colours = luck.integers(0, 256, (depths, 4), dtype="u1")
    # neighbours that a coarser palette would take for one
    colours[: depths // 2] = [[100 + at // 4, 100, 100 + at % 4, 255 - at] for at in range(depths // 2)]
    picture = Image.fromarray(colours[luck.integers(0, depths, (90, 90))])
    for source in (picture, picture.convert("RGB")):
        result = pressed(saved(source, "PNG"), quality=quality)
        assert opened(result.data).mode == "P"
        assert np.array_equal(np.asarray(opened(result.data).convert(source.mode)), np.asarray(source))
        assert result.data[24] == {256: 8, 16: 4, 4: 2, 2: 1}[depths]


def test_png_takes_the_lossless_way_where_that_is_smaller() -> None:
    """A smooth drawing: filters shrink it to less than a palette can."""
    y, x = np.mgrid[0:200, 0:300]
    picture = Image.fromarray(np.stack([x % 256, (x + y) % 256, y % 256], -1).astype("u1"))
    data = saved(picture, "PNG", compress_level=1)
    result = pressed(data)
    assert far(shown(result.data), seen(picture)) == 0
    assert len(result.data) <= len(data)
