"""Sources that are given back: never larger, the same picture, nothing else in it."""

import random
import struct
import zlib

import numpy as np
import pytest
from pictures import (
    animated,
    balls,
    disc,
    exif,
    far,
    frames_of,
    opened,
    photo,
    pressed,
    saved,
    seen,
    shown,
    srgb,
)
from PIL import Image, PngImagePlugin

from resizer.containers import avif, metadata
from resizer.containers.formats import Format

SECRET = "Secret garden at 52.5N 13.4E"
XMP = f"<x:xmpmeta>{SECRET}</x:xmpmeta>".encode()


def tight(kind: str, *, turn: int = 1, metadata: bool = True) -> bytes:
    """Make a file that compressing cannot make smaller, full of metadata."""
    noise = np.random.default_rng(3).normal(128, 50, (96, 128, 3))
    picture = Image.fromarray(np.clip(noise, 0, 255).astype("u1"))
    tags = exif(turn, SECRET)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    options: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 8, "optimize": True, "exif": tags, "xmp": XMP, "comment": SECRET},
        "PNG": {"exif": tags, "pnginfo": text},
        "WEBP": {"quality": 1, "method": 6, "exif": tags, "xmp": XMP},
        "AVIF": {"quality": 30, "exif": tags, "xmp": XMP},
        "GIF": {"comment": SECRET.encode()},
        "TIFF": {"compression": "tiff_adobe_deflate", "exif": tags},
        "BMP": {},
    }
    if kind in ("PNG", "GIF"):
        picture = picture.convert("L").point(lambda value: value // 64 * 64).quantize(4)
    if kind in ("BMP", "TIFF"):
        picture = (
            picture.point(lambda value: value // 200 * 255)
            .convert("1", dither=Image.Dither.NONE)
            .resize((16, 8))
        )
    return saved(picture, kind, **(options[kind] if metadata else {}))


KINDS = ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"]


@pytest.mark.parametrize("kind", KINDS)
def test_result_is_never_larger_than_the_source(kind: str) -> None:
    data = tight(kind)
    for wanted in {"keep", kind.lower()} & {"keep", "jpeg", "png", "webp", "avif"}:
        result = pressed(data, wanted)
        assert len(result.data) <= len(data)
        assert result.format == kind.lower()
        assert far(shown(result.data), shown(data)) == 0
        # a limit that does not bind changes nothing
        assert pressed(data, wanted, max_width=1000, max_height=96).data == result.data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_kept_source_has_lost_its_metadata(kind: str) -> None:
    data = tight(kind)
    assert SECRET.encode() in data
    result = pressed(data).data
    assert b"Secret" not in result
    assert b"52.5N" not in result
    assert not opened(result).getexif().get(0x010E)


@pytest.mark.parametrize("wanted", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF"])
def test_written_anew_it_has_lost_its_metadata(kind: str, wanted: str) -> None:
    assert b"Secret" not in pressed(tight(kind), wanted, max_width=40).data


@pytest.mark.parametrize("turn", [2, 3, 6, 7, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_kept_source_that_lies_on_its_side_still_says_so(kind: str, turn: int) -> None:
    data = tight(kind, turn=turn)
    if kind == "PNG":
        # of 16 bits, and to be kept lossless
        deep = Image.fromarray(np.arange(128 * 96, dtype="u2").reshape(96, 128))
        data = saved(deep, "PNG", exif=exif(turn, SECRET))
    result = pressed(data, quality={"PNG": 100, "JPEG": 95}.get(kind, 50))
    assert len(result.data) <= len(data)
    assert b"Secret" not in result.data
    assert far(shown(result.data), shown(data)) == 0
    assert opened(result.data).getexif().get(0x0112, 1) == turn
    assert (result.width, result.height) == ((96, 128) if turn > 4 else (128, 96))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_kept_source_keeps_its_colour_profile(kind: str) -> None:
    options = {"quality": 5} if kind != "PNG" else {}
    picture = photo(64, 48).quantize(3) if kind == "PNG" else photo(64, 48)
    data = saved(picture, kind, icc_profile=srgb(), exif=exif(1, SECRET), **options)
    result = pressed(data).data
    assert opened(result).info["icc_profile"] == srgb()
    assert b"Secret" not in result


def test_source_that_is_smaller_without_metadata_is_not_spoilt() -> None:
    """Encoded again it is smaller than the source, but larger than the source without metadata."""
    picture = photo(128, 96)
    data = saved(picture, "JPEG", quality=45, optimize=True, comment=SECRET * 20)
    bare = saved(picture, "JPEG", quality=45, optimize=True)
    assert len(bare) < len(saved(picture, "JPEG", quality=50, optimize=True)) < len(data) < 2 * len(bare)
    assert pressed(data).data == bare


def test_what_was_asked_for_may_be_larger() -> None:
    data = tight("JPEG")
    assert pressed(data, "png").format == "png"
    assert pressed(tight("PNG"), max_width=60).width == 60


@pytest.mark.parametrize("progressive", [True, False])
@pytest.mark.parametrize("restart", [0, 1])
def test_jpeg_is_walked_through_its_scans(progressive: bool, restart: int) -> None:
    data = saved(
        photo(90, 70),
        "JPEG",
        progressive=progressive,
        restart_marker_rows=restart,
        comment=b"x",
        exif=exif(1, SECRET),
    )
    result = metadata.strip(data + b"\xff\xd8 trailing " + SECRET.encode(), Format.JPEG)
    assert result
    assert result.endswith(b"\xff\xd9")
    assert b"Secret" not in result
    assert far(shown(result), shown(data)) == 0


def test_jpeg_may_fill_before_a_marker() -> None:
    data = saved(photo(), "JPEG")
    at = data.index(b"\xff\xdb")
    result = metadata.strip(data[:at] + b"\xff\xff\xff" + data[at:], Format.JPEG)
    assert result == data


def test_jpeg_thumbnail_of_jfif_is_removed() -> None:
    data = saved(photo(), "JPEG")
    assert data[2:4] == b"\xff\xe0"
    thumbnail = bytes(3 * 4 * 4)
    segment = data[6:18] + b"\4\4" + thumbnail
    fat = data[:4] + struct.pack(">H", len(segment) + 2) + segment + data[20:]
    assert far(shown(fat), shown(data)) == 0
    assert metadata.strip(fat, Format.JPEG) == data


def test_kept_mpo_loses_its_further_pictures() -> None:
    pictures = [photo(256, 192), photo(256, 192, 2)]
    data = saved(pictures[0], "MPO", save_all=True, append_images=[pictures[1]], quality=8, optimize=True)
    result = pressed(data, quality=95)
    assert result.format == "jpeg"
    assert len(result.data) < len(data) * 0.7
    assert opened(result.data).format == "JPEG"
    assert far(shown(result.data), shown(data)) == 0


def test_png_keeps_what_shows() -> None:
    info = PngImagePlugin.PngInfo()
    for name, body in ((b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"bKGD", b"\0")):
        info.add(name, body)
    info.add(b"prVt", b"private")
    data = saved(photo().quantize(4), "PNG", pnginfo=info, transparency=b"\0\x80", dpi=(72, 72)) + b"trailing"
    result = metadata.strip(data, Format.PNG)
    assert result
    for name in (b"gAMA", b"sRGB", b"tRNS", b"pHYs", b"bKGD"):
        assert (name in result) == (name in data)
    assert b"prVt" not in result
    assert b"trailing" not in result
    assert far(shown(result), shown(data)) == 0


def test_animations_are_kept_whole() -> None:
    for kind, format_ in (("PNG", Format.PNG), ("WEBP", Format.WEBP), ("GIF", Format.GIF)):
        data = animated(balls(), kind, duration=70, loop=2)
        result = metadata.strip(data, format_)
        assert result
        assert opened(result).info["loop"] == 2
        for (one, time), (other, other_time) in zip(frames_of(data), frames_of(result), strict=True):
            assert far(one, other) == 0
            assert time == other_time


def test_gif_loses_comments_and_xmp_but_not_its_loop() -> None:
    data = animated(balls(3), "GIF", duration=70, loop=4, comment=SECRET.encode())
    xmp = b"!\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    data = data[:-1] + xmp + b";" + SECRET.encode()
    result = metadata.strip(data, Format.GIF)
    assert result
    assert b"Secret" not in result
    assert b"XMP" not in result
    assert opened(result).info["loop"] == 4
    assert opened(result).n_frames == 3


def test_webp_without_metadata_says_so_in_its_head() -> None:
    data = saved(disc(), "WEBP", exif=exif(1, SECRET), xmp=XMP, icc_profile=srgb())
    result = metadata.strip(data, Format.WEBP)
    assert result
    assert result[20] & 0x0C == 0
    assert struct.unpack("<I", result[4:8])[0] == len(result) - 8
    assert opened(result).info["icc_profile"] == srgb()
    assert far(shown(result), shown(data)) == 0


def test_avif_keeps_its_length() -> None:
    data = saved(disc(), "AVIF", exif=exif(1, SECRET), xmp=XMP)
    result = metadata.strip(data, Format.AVIF)
    assert result
    assert len(result) == len(data)
    assert b"Secret" not in result
    assert far(shown(result), shown(data)) == 0


def dates_of(sequence: bytes) -> set[int]:
    return {
        date
        for name in (b"mvhd", b"tkhd", b"mdhd")
        for date in struct.unpack_from(">4xQQ", sequence, sequence.index(name) + 4)
    }


def test_sequence_does_not_tell_when_it_was_made() -> None:
    data = animated(balls(2, size=(16, 12)), "AVIF", duration=50)
    assert 0 not in dates_of(data)
    for result in (avif.undated(data), metadata.strip(data, Format.AVIF), pressed(data, "avif").data):
        assert result is not None
        assert dates_of(result) == {0}
        assert len(frames_of(result)) == 2
    assert frames_of(avif.undated(data))[1][1] == frames_of(data)[1][1]


def test_dates_of_32_bits_are_blanked_and_nothing_else() -> None:
    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(body), name) + body

    def movie(dates: bytes) -> bytes:
        return box(b"moov", box(b"mvhd", b"\0\0\0\1" + dates + b"timescale"))

    assert avif.undated(movie(b"madethen")) == movie(bytes(8))
    with pytest.raises(ValueError, match="cut off"):
        avif.undated(box(b"moov", box(b"mvhd", b"\0\0\0\1made")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_odd_structure_is_reported_or_survived(kind: str) -> None:
    luck = random.Random(5)
    whole = tight(kind)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(4):
            data[luck.randrange(12, len(data))] = luck.randrange(256)
        del data[luck.randrange(20, len(data) + 1) :]
        result = metadata.strip(bytes(data), Format(kind.lower()), orientation=luck.choice((1, 6)))
        assert result is None or len(result) <= len(data) + 60


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_bmp_and_tiff_are_kept_as_they_are(kind: str) -> None:
    data = tight(kind)
    assert pressed(data).data == data


SCRIPT = b"<html><script>alert(1)</script></html>"


def with_script(kind: str, data: bytes) -> bytes:
    """Put the script where readers of the format pass over it; behind the end is tried apart."""
    match kind:
        case "JPEG":
            return data[:2] + b"\xff\xe5" + struct.pack(">H", len(SCRIPT) + 2) + SCRIPT + data[2:]
        case "PNG":  # a critical chunk, which readers ought to refuse
            chunk = b"HTML" + SCRIPT
            crc = struct.pack(">I", zlib.crc32(chunk))
            return data[:33] + struct.pack(">I", len(SCRIPT)) + chunk + crc + data[33:]
        case "WEBP":
            body = data[8:] + b"HTML" + struct.pack("<I", len(SCRIPT)) + SCRIPT
            return b"RIFF" + struct.pack("<I", len(body)) + body
        case "GIF":
            block = bytes([0x21, 0x99, len(SCRIPT)]) + SCRIPT + b"\0"
            return data[:-1] + block + data[-1:]
        case _:  # AVIF
            return data + struct.pack(">I", len(SCRIPT) + 8) + b"html" + SCRIPT


@pytest.mark.parametrize(
    "behind", [SCRIPT, b"PK\5\6" + SCRIPT + bytes(18), struct.pack(">I", 46) + b"free" + SCRIPT]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP"])
def test_what_hangs_on_behind_a_kept_image_is_cut_off(kind: str, behind: bytes) -> None:
    """A file may be an image and a page, a script or an archive in one."""
    bare = tight(kind)
    result = pressed(bare + behind)
    assert b"script" not in result.data
    assert len(result.data) <= len(bare)
    assert far(shown(result.data), shown(bare)) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_what_no_reader_shows_is_not_kept_within_an_image(kind: str) -> None:
    bare = tight(kind, metadata=False)
    data = with_script(kind, bare)
    assert b"script" in data
    assert far(shown(data), shown(bare)) == 0
    stripped = metadata.strip(data, Format(kind.lower()))
    assert stripped is not None
    assert b"script" not in stripped
    assert far(shown(stripped), shown(bare)) == 0
    assert b"script" not in pressed(data).data


def test_avif_that_keeps_its_image_in_an_odd_box_is_left_as_it_is() -> None:
    data = tight("AVIF", metadata=False)
    with pytest.raises(ValueError, match="unknown box"):
        avif.strip(data.replace(b"mdat", b"odd!") + b"\0\0\0\x08mdat")
    with pytest.raises(ValueError, match="cut off"):
        avif.strip(data[:-1])


def test_photo_in_a_small_frame_of_exif_is_compressed_all_the_same() -> None:
    data = saved(photo(), "JPEG", quality=95, exif=exif(6, SECRET * 50))
    result = pressed(data)
    assert len(result.data) < len(data) / 2
    assert b"Secret" not in result.data
    assert far(shown(result.data), seen(photo().rotate(-90, expand=True))) < 12
