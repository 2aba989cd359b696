"""Colour spaces stated without ICC: read from containers, built into profiles, tone-mapped, kept."""

import struct
from io import BytesIO

import numpy as np
import pytest
from coloured import P3, SRGB_CURVE, avif, chunk, cicp, deep_png, gama, patches, png, sources
from pictures import animated, balls, opened, photo, pressed, saved
from PIL import Image, ImageCms

from resizer.compress.codec.profiles import BT709, Curve, Primaries, grey_profile, rgb_profile
from resizer.compress.codec.tone import HLG, PQ, to_sdr
from resizer.containers import boxes, metadata
from resizer.containers.formats import Format

BT2020 = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))


def converted(profile: bytes, colour: tuple[int, int, int]) -> tuple[int, ...]:
    own, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    result = ImageCms.profileToProfile(Image.new("RGB", (1, 1), colour), own, srgb)
    assert result
    pixel = result.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize(
    "primaries, curve, colour, shown",
    [
        (BT709, SRGB_CURVE, (200, 120, 40), (200, 120, 40)),
        # as Chromium shows them
        (P3, SRGB_CURVE, (200, 120, 40), (213, 115, 0)),
        (BT709, Curve(1.0), (128, 128, 128), (188, 188, 188)),
        (BT709, Curve(2.8), (200, 120, 40), (189, 98, 17)),
        (BT2020, Curve(2.4), (200, 120, 40), (235, 96, 0)),
    ],
)
def test_profile_of_numbers_shows_their_colours(
    primaries: Primaries, curve: Curve, colour: tuple[int, int, int], shown: tuple[int, int, int]
) -> None:
    found = converted(rgb_profile(primaries, curve), colour)
    assert max(abs(one - other) for one, other in zip(found, shown, strict=True)) <= 1


def test_profiles_are_small_and_always_the_same() -> None:
    assert rgb_profile(P3, SRGB_CURVE) == rgb_profile(P3, SRGB_CURVE)
    assert len(rgb_profile(P3, SRGB_CURVE)) < 500
    assert ImageCms.ImageCmsProfile(BytesIO(grey_profile(Curve(2.2)))).profile.xcolor_space == "GRAY"


@pytest.mark.parametrize(
    "primaries",
    [
        Primaries((0.64, 0.33), (0.64, 0.33), (0.15, 0.06)),
        Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3, 0.0)),
        Primaries((0.64, 1e-5), (0.30, 1e-5), (0.15, 1e-5), (1e-5, 1e-5)),
    ],
)
def test_primaries_that_span_nothing_make_no_profile(primaries: Primaries) -> None:
    with pytest.raises(ValueError, match=r"line|light|visible|large"):
        rgb_profile(primaries, SRGB_CURVE)


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("name", ["PNG", "PNG gAMA usual", "PNG sRGB before gAMA", "AVIF", "AVIF BT.709"])
def test_srgb_needs_no_profile(name: str, wanted: str) -> None:
    result = pressed(sources()[name], wanted, max_width=64)
    assert "icc_profile" not in opened(result.data).info


@pytest.mark.parametrize(
    "data", [png(cicp(12, 13)), avif(12, 13), png(gama(1))], ids=["cICP", "nclx", "gAMA"]
)
def test_source_that_is_kept_keeps_its_colour_space(data: bytes) -> None:
    kept = pressed(data, quality=100).data
    assert len(kept) <= len(data)
    stated = boxes.nclx(data) or [data[at : at + 12] for at in (data.find(b"cICP"), data.find(b"gAMA"))]
    assert stated == (
        boxes.nclx(kept) or [kept[at : at + 12] for at in (kept.find(b"cICP"), kept.find(b"gAMA"))]
    )
    kind = Format.PNG if data.startswith(b"\x89") else Format.AVIF
    assert metadata.strip(data, kind) == data


@pytest.mark.parametrize("name", ["PNG PQ", "PNG HLG", "AVIF PQ", "AVIF HLG"])
def test_hdr_is_kept_where_only_fewer_bytes_are_asked_for(name: str) -> None:
    assert pressed(sources()[name]).data == sources()[name]


@pytest.mark.parametrize("name", ["PNG PQ", "PNG HLG", "AVIF PQ", "AVIF HLG"])
@pytest.mark.parametrize("options", [{"wanted": "jpeg"}, {"max_width": 64}], ids=["format", "size"])
def test_hdr_that_is_written_anew_is_sdr_without_a_profile(name: str, options: dict[str, str]) -> None:
    result = opened(pressed(sources()[name], **options).data)  # type: ignore[arg-type]
    assert "icc_profile" not in result.info
    assert result.convert("RGB").getpixel((4, 4)) != (128, 128, 128)


def test_hdr_of_sixteen_bits_is_kept_or_tone_mapped() -> None:
    data = deep_png(cicp(9, 16))
    assert pressed(data).data == data
    grey = opened(pressed(data, "png", max_width=64).data).convert("RGB").getpixel((4, 4))
    assert max(abs(value - 132) for value in grey) <= 1


@pytest.mark.parametrize(
    "transfer, colour, shown",
    [
        # as Chromium shows them on a screen of sRGB
        (PQ, (128, 128, 128), (132, 132, 132)),
        (PQ, (20, 20, 20), (1, 1, 1)),
        (PQ, (255, 255, 255), (255, 255, 255)),
        (PQ, (40, 120, 200), (0, 63, 255)),
        (HLG, (128, 128, 128), (99, 99, 99)),
        (HLG, (200, 120, 40), (230, 76, 0)),
        (HLG, (40, 120, 200), (0, 96, 188)),
        (HLG, (90, 200, 120), (0, 208, 84)),
    ],
)
def test_hdr_is_shown_as_bright_as_a_browser_shows_it(
    transfer: int, colour: tuple[int, int, int], shown: tuple[int, int, int]
) -> None:
    found = to_sdr(Image.new("RGB", (1, 1), colour), BT2020, transfer).getpixel((0, 0))
    assert isinstance(found, tuple)
    assert max(abs(one - other) for one, other in zip(found, shown, strict=True)) <= 2


def test_tone_mapping_leaves_transparency_alone() -> None:
    picture = patches("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    result = opened(pressed(png(cicp(9, 16), picture=picture), "webp", quality=100).data)
    assert np.array_equal(np.asarray(result)[..., 3], np.asarray(picture)[..., 3])


@pytest.mark.parametrize("wanted", ["keep", "webp", "avif"])
def test_animation_keeps_its_colours(wanted: str) -> None:
    frames = animated(balls(3, size=(64, 48)), "PNG", duration=50)
    data = frames[:33] + cicp(12, 13) + frames[33:]
    result = opened(pressed(data, wanted, max_width=32).data)
    assert result.n_frames == 3
    assert result.info["icc_profile"] == rgb_profile(P3, SRGB_CURVE)


def test_animation_of_hdr_is_tone_mapped() -> None:
    grey = [Image.new("RGB", (64, 48), (128, 128, number)) for number in (128, 129)]
    frames = animated(grey, "PNG", duration=50)
    data = frames[:33] + cicp(9, 16) + frames[33:]
    result = opened(pressed(data, "webp", quality=100).data)
    assert max(abs(value - 132) for value in result.convert("RGB").getpixel((30, 30))) <= 3


def test_colours_of_a_sequence_are_those_of_its_track() -> None:
    data = bytearray(animated([photo(64, 48, 1), photo(64, 48, 2)], "AVIF", duration=50))
    places = [at for at in range(len(data)) if data[at : at + 8] == b"colrnclx"]
    assert len(places) == 2  # of the item and of the track
    struct.pack_into(">HH", data, places[1] + 8, 12, 13)
    assert boxes.nclx(bytes(data)) == (12, 13)
    assert opened(pressed(bytes(data), "webp").data).info["icc_profile"] == rgb_profile(P3, SRGB_CURVE)


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
def test_odd_chunks_of_colour_fail_nothing(wanted: str) -> None:
    for chunks in (
        [chunk(b"cICP", b"")],
        [chunk(b"cICP", bytes((12, 13, 1, 1)))],
        [chunk(b"cICP", bytes((12, 13, 0, 0)))],
        [chunk(b"gAMA", bytes(4))],
        [chunk(b"gAMA", b"\0\0\0\1")],
        [chunk(b"gAMA", b"\xff" * 4)],
        [gama(1), chunk(b"cHRM", b"\xff" * 32)],
        [gama(1), chunk(b"cHRM", struct.pack(">8I", *[1] * 8))],
        [gama(1), chunk(b"cHRM", b"short")],
        [chunk(b"gAMA", b"\0")],
        [chunk(b"sRGB", b"")],
        [chunk(b"pHYs", b"\0" * 8)],
    ):
        assert pressed(png(*chunks), wanted).width == 128


def test_nclx_of_damaged_boxes_is_none() -> None:
    data = saved(photo(), "AVIF")
    for at in range(min(len(data), 400)):
        boxes.nclx(data[:at])
        boxes.nclx(data[:at] + b"\xff\xff" + data[at + 2 :])
    assert boxes.nclx(data[:100]) is None
