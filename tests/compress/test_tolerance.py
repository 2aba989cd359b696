"""What a browser shows although it is not whole; the rest stays corrupt."""

import struct

import numpy as np
import pytest
from pictures import animated, balls, frames_of, opened, photo, pressed, saved, seen, shown
from PIL import Image

from resizer.containers import png_chunks as png
from resizer.errors import CorruptImage

JPEGS = {
    "baseline": saved(photo(), "JPEG", quality=90),
    "progressive": saved(photo(), "JPEG", quality=90, progressive=True),
    "restarts": saved(photo(), "JPEG", quality=90, restart_marker_blocks=3),
    "grey": saved(photo().convert("L"), "JPEG", quality=90),
    "grey progressive": saved(photo().convert("L"), "JPEG", quality=90, progressive=True),
    "RGB": saved(photo(), "JPEG", quality=90, keep_rgb=True),
    "CMYK": saved(photo().convert("CMYK"), "JPEG", quality=90),
    "CMYK progressive": saved(photo().convert("CMYK"), "JPEG", quality=90, progressive=True),
}


def places(data: bytes, name: bytes) -> list[int]:
    """Where each chunk of that name begins."""
    found, at = [], 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == name:
            found.append(at)
        at += 12 + length
    return found


def wrongly_summed(data: bytes, name: bytes) -> bytes:
    """Change the checksum of the last chunk of that name."""
    at = places(data, name)[-1]
    end = at + 12 + int.from_bytes(data[at : at + 4])
    return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]


@pytest.mark.parametrize("wanted", ["keep", "webp"])
@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_that_lacks_only_its_end_mark_is_compressed_as_if_it_had_it(
    name: str, cut: int, wanted: str
) -> None:
    data = JPEGS[name]
    assert pressed(data[:-cut], wanted).data == pressed(data, wanted).data
    assert pressed(data[:-cut], wanted, max_width=20).data == pressed(data, wanted, max_width=20).data


@pytest.mark.parametrize("cut", [3, 4, 40, 400])
@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_that_lacks_pixels_is_corrupt(name: str, cut: int) -> None:
    with pytest.raises(CorruptImage) as refusal:
        pressed(JPEGS[name][:-cut])
    assert refusal.value.reason == "it ends too early"


def test_jpeg_that_is_kept_gets_the_end_mark_that_it_lacks() -> None:
    data = saved(photo(), "JPEG", quality=20)
    assert pressed(data[:-2], quality=90).data == pressed(data, quality=90).data
    assert pressed(data[:-2], quality=90).data.endswith(b"\xff\xd9")


@pytest.mark.parametrize("name", [b"pHYs", b"gAMA", b"tEXt", b"iCCP", b"eXIf"])
def test_png_with_a_damaged_ancillary_chunk_is_compressed(name: bytes) -> None:
    whole = saved(photo(), "PNG")
    broken = struct.pack(">I4s", 9, name) + bytes(9) + b"\0\0\0\1"
    for at in (33, places(whole, b"IEND")[0]):
        data = whole[:at] + broken + whole[at:]
        assert png.without_damaged(data) == whole
        assert pressed(data).data == pressed(whole).data


def test_damaged_chunk_is_not_in_a_source_that_is_kept() -> None:
    whole = saved(photo().quantize(8), "PNG", dpi=(72, 72))
    result = pressed(wrongly_summed(whole, b"pHYs"), quality=100).data
    assert not places(result, b"pHYs")
    assert np.array_equal(shown(result), shown(whole))


def test_damaged_colours_tell_nothing() -> None:
    """A gamma that counts, were it whole."""
    whole = saved(photo(), "PNG")
    gamma = struct.pack(">I4sI", 4, b"gAMA", 100_000) + b"\0\0\0\1"
    result = pressed(whole[:33] + gamma + whole[33:], "webp").data
    assert opened(result).info.get("icc_profile") is None


def test_damaged_transparency_is_none() -> None:
    data = saved(photo().quantize(8), "PNG", transparency=3)
    assert opened(pressed(data).data).info.get("transparency") is not None
    assert opened(pressed(wrongly_summed(data, b"tRNS")).data).info.get("transparency") is None


@pytest.mark.parametrize("name", [b"acTL", b"fcTL", b"fdAT"])
def test_animation_with_a_damaged_chunk_is_its_first_picture(name: bytes) -> None:
    frames = balls(3)
    data = wrongly_summed(animated(frames, "PNG", duration=50), name)
    result = frames_of(pressed(data, quality=100).data)
    assert len(result) == 1
    assert np.array_equal(result[0][0], seen(frames[0]))


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE"])
def test_png_with_a_damaged_critical_chunk_is_corrupt(name: bytes) -> None:
    with pytest.raises(CorruptImage):
        pressed(wrongly_summed(saved(photo().quantize(8), "PNG"), name))


def test_wrong_sum_of_whole_pixels_is_got_over() -> None:
    """As browsers do: zlib has a sum of its own."""
    whole = saved(photo(), "PNG")
    assert pressed(wrongly_summed(whole, b"IDAT")).data == pressed(whole).data
    at = places(whole, b"IDAT")[0] + 2000
    with pytest.raises(CorruptImage):
        pressed(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])


def test_whole_png_is_not_copied() -> None:
    data = saved(Image.new("RGB", (8, 8)), "PNG")
    assert png.without_damaged(data) is data
