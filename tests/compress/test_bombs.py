"""Small files that ask for much memory or time: each in a fresh child with its limit, and measured there."""

import asyncio
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from heads import chunk, gif_head, png_head, tiff_head, webp_head
from measuring import measured
from pictures import animated, photo, saved, srgb
from PIL import Image

from resizer.compress.child import Child, run_calls
from resizer.compress.codec import compress_file
from resizer.compress.memory import memory_limit
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.errors import CompressTimeout
from resizer.models import OutputFormat, Recipe

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="asks the kernel how large a process is"
)

STEM = "0" * 32
SETTINGS = CompressSettings()
RECIPE = Recipe(quality=50, format=OutputFormat.KEEP)
MB = 2**20
HUGE = 256 * MB  # unpacked
END = chunk(b"IEND", b"")
#: bytes that a child may take, beyond the file itself, for a file refused by its header
FOR_A_HEAD = 8 * MB
#: and for anything else here, a sixth of what a child may have: a comment of 4 bytes takes Pillow 80
FOR_A_BOMB = 400 * MB
#: seconds; compress.timeout would end an image that takes that long, on a machine that is not slow
PATIENCE = 100


def set_off(data: bytes, folder: Path, max_pixels: int = SETTINGS.max_pixels) -> tuple[str, str, int]:
    source = folder / "source"
    source.write_bytes(data)
    child = Child.start(memory_limit(SETTINGS))
    try:
        call = partial(measured, str(source), str(folder / "target"), recipe=RECIPE, max_pixels=max_pixels)
        (end,), _ = child.executor.submit(run_calls, 1, [call]).result(PATIENCE)
        if end.error is not None:
            raise end.error
        reported: tuple[str, str, int] = end.result
        return reported
    finally:
        child.end()


@cache
def zeros(size: int) -> bytes:
    """So many zeros, packed: a thousandth of them."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(MB, size - at))) for at in range(0, size, MB)]
    return b"".join([*parts, packer.flush()])


def png_with(*chunks: bytes) -> bytes:
    data = saved(photo(48, 32), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def jpeg_with(segments: bytes) -> bytes:
    data = saved(photo(48, 32), "JPEG")
    return data[:2] + segments + data[2:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def apng(side: int, frames: int) -> bytes:
    """An animation whose every frame is the same; it decodes."""
    pixels = zlib.compress(bytes((1 + side) * side))
    control = struct.pack(">IIIIHHBB", side, side, 0, 0, 1, 10, 0, 0)
    parts = [chunk(b"acTL", struct.pack(">II", frames, 0))]
    parts += [chunk(b"fcTL", struct.pack(">I", 0) + control), chunk(b"IDAT", pixels)]
    for frame in range(1, frames):
        parts.append(chunk(b"fcTL", struct.pack(">I", 2 * frame - 1) + control))
        parts.append(chunk(b"fdAT", struct.pack(">I", 2 * frame) + pixels))
    return png_head(side, side, *parts, END, colours=0)


def gif(side: int, frames: int) -> bytes:
    still = saved(Image.new("P", (side, side)), "GIF")
    at = still.index(b",", 13)
    return still[:at] + (b"!\xf9\x04\0\5\0\0\0" + still[at:-1]) * frames + b";"


def webp(side: int, frames: int) -> bytes:
    still = saved(Image.new("RGB", (side, side)), "WEBP")
    frame = bytes(6) + 2 * (side - 1).to_bytes(3, "little") + b"\x50\0\0\0" + still[12:]
    frame = b"ANMF" + struct.pack("<I", len(frame)) + frame
    body = webp_head(side, side, 0)[8:] + frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_claiming(width: int, height: int, picture: Image.Image) -> bytes:
    data = saved(picture, "AVIF", speed=10)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def bmp(width: int, height: int, *, depth: int = 24, packed: int = 0, colours: int = 0) -> bytes:
    body = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, packed, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<III", 0, 0, 54 + 1024) + body + bytes(1024)


def tiff(behind: bytes = bytes(5000), following: int = 0, **tags: int) -> bytes:
    small = {"t256": 64, "t257": 64, "t278": 64, "t279": 4096}
    return tiff_head(**{**small, **tags})[:-4] + struct.pack("<I", following) + behind


def tiff_pages(count: int) -> bytes:
    first = tiff()
    entries, start = first[8:118], len(first)
    pages = [entries + struct.pack("<I", start + 114 * page) for page in range(1, count)]
    return first[:118] + struct.pack("<I", start) + first[122:] + b"".join(pages) + entries + bytes(4)


def tiff_counting(count: int, *, size: int = 5000) -> bytes:
    """Claim so many strips: as many offsets and lengths."""
    data = bytearray(tiff(bytes(size)))
    for tag in (273, 279):
        at = data.index(struct.pack("<HH", tag, 4))
        struct.pack_into("<II", data, at + 4, count, 200)
    return bytes(data)


def exif_in_circles() -> bytes:
    pointers = (34665, 34853, 40965, 330)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in pointers)
    endless = struct.pack("<HHII", 0x010E, 2, 0xFFFFFFFF, 8)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5) + endless + entries + struct.pack("<I", 8)


@pytest.mark.parametrize(
    "make, code, reported",
    [
        pytest.param(
            lambda: png_head(30000, 30000, chunk(b"IDAT", zeros(3751 * 30000)), END, depth=1, colours=0),
            "too_many_pixels",
            "30000 × 30000",
            id="png",
        ),
        pytest.param(lambda: apng(128, 4000), "too_many_pixels", "× 4000 frames", id="apng"),
        pytest.param(lambda: gif(128, 4000), "too_many_pixels", "× 4000 frames", id="gif"),
        pytest.param(lambda: webp(128, 4000), "too_many_pixels", "× 4000 frames", id="webp"),
        pytest.param(lambda: gif_head(65535, 65535, 1), "too_many_pixels", "65535 × 65535", id="gif-screen"),
        pytest.param(
            lambda: (
                b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(12)
            ),
            "too_many_pixels",
            "16383 × 16383",
            id="webp-lossless",
        ),
        pytest.param(
            lambda: b"\xff\xd8" + segment(0xC0, b"\x08\xff\xff\xff\xff\x03\1\x11\0\2\x11\0\3\x11\0"),
            "too_many_pixels",
            "65535 × 65535",
            id="jpeg",
        ),
        pytest.param(
            lambda: avif_claiming(16384, 16384, photo(48, 32)), "too_many_pixels", "16384 × 16384", id="avif"
        ),
        pytest.param(
            lambda: avif_claiming(2**32 - 1, 2**32 - 1, photo(48, 32)), "corrupt_image", "", id="avif-huge"
        ),
        pytest.param(
            lambda: bmp(2**31 - 1, -(2**31)), "too_many_pixels", "2147483647 × 2147483648", id="bmp"
        ),
        pytest.param(lambda: bmp(8, 8, depth=8, colours=2**32 - 1), "corrupt_image", "", id="bmp-colours"),
        pytest.param(
            lambda: b"BM" + struct.pack("<IIII", 0, 0, 54, 2**31), "corrupt_image", "", id="bmp-head"
        ),
        pytest.param(lambda: tiff(t277=65535), "corrupt_image", "", id="tiff-samples"),
        pytest.param(lambda: tiff(t259=5, t278=2**32 - 1), "corrupt_image", "", id="tiff-rows"),
        pytest.param(lambda: tiff_counting(2**32 - 1), "corrupt_image", "", id="tiff-strips"),
    ],
)
def test_bomb_is_refused_by_its_head(
    make: Callable[[], bytes], code: str, reported: str, tmp_path: Path
) -> None:
    data = make()
    ended, message, grown = set_off(data, tmp_path)
    assert ended == code
    assert reported in message
    assert grown < FOR_A_HEAD + len(data), f"{grown / MB:.0f} MB"


def test_frames_of_an_avif_are_counted_before_they_are_decoded(tmp_path: Path) -> None:
    data = animated([Image.new("L", (16, 16), n % 256) for n in range(1500)], "AVIF", duration=50, speed=10)
    ended, message, grown = set_off(data, tmp_path, max_pixels=1500 * 256 - 1)
    assert ended == "too_many_pixels"
    assert "× 1500 frames" in message
    assert grown < FOR_A_HEAD, f"{grown / MB:.0f} MB"


#: name → file of about so many bytes, and how it ends
BOMBS: dict[str, tuple[Callable[[int], bytes], str]] = {
    "png zTXt of 256 MB": (lambda _: png_with(chunk(b"zTXt", b"a\0\0" + zeros(HUGE))), "corrupt_image"),
    "png iTXt of 256 MB": (
        lambda _: png_with(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(HUGE))),
        "corrupt_image",
    ),
    "png iCCP of 256 MB": (lambda _: png_with(chunk(b"iCCP", b"a\0\0" + zeros(HUGE))), "corrupt_image"),
    "png of many zTXt": (
        lambda size: png_with(chunk(b"zTXt", b"a\0\0" + zeros(15 * MB)) * (size // 15_000)),
        "corrupt_image",
    ),
    "png with pixels of 256 MB": (
        lambda _: png_head(8, 8, chunk(b"IDAT", zeros(HUGE)), END),
        "completed",
    ),
    "png of tiny chunks": (lambda size: png_with(chunk(b"prVt", b"") * (size // 12)), "completed"),
    "png of tiny texts": (
        lambda size: png_with(*(chunk(b"tEXt", b"%d\0" % n) for n in range(size // 20))),
        "completed",
    ),
    "png profile": (
        lambda size: saved(photo(), "PNG", icc_profile=os.urandom(min(size, 15 * MB))),
        "completed",
    ),
    "jpeg profile": (
        lambda size: saved(photo(), "JPEG", icc_profile=os.urandom(min(size, 16 * 10**6))),
        "completed",
    ),
    "webp profile": (lambda size: saved(photo(), "WEBP", icc_profile=os.urandom(size)), "completed"),
    "jpeg of tiny comments": (lambda size: jpeg_with(segment(0xFE, b"") * (size // 4)), "completed"),
    "jpeg of tiny EXIFs": (lambda size: jpeg_with(segment(0xE1, b"Exif\0\0") * (size // 10)), "completed"),
    "jpeg of tiny profiles": (
        lambda size: jpeg_with(segment(0xE2, b"ICC_PROFILE\0\1\xff") * (size // 18)),
        "completed",
    ),
    "jpeg of fill bytes": (lambda size: jpeg_with(b"\xff" * (size // 2)), "completed"),
    "jpeg with EXIF in circles": (lambda _: saved(photo(), "JPEG", exif=exif_in_circles()), "completed"),
    "gif of tiny comments": (
        lambda size: gif(8, 1)[:-1] + b"!\xfe\1a\0" * (size // 5) + b";",
        "completed",
    ),
    "webp of tiny chunks": (
        lambda size: _webp_with(b"XXXX\0\0\0\0" * (size // 8)),
        "completed",
    ),
    "bmp packed to nothing": (
        lambda _: bmp(7000, 7000, depth=8, packed=1, colours=256) + b"\0\2\xff\xff" * 2000,
        "completed",
    ),
    "tiff packed to nothing": (
        lambda _: tiff(bytes(278) + zeros(HUGE), t259=8, t279=len(zeros(HUGE))),
        "completed",
    ),
    "tiff with a strip of gigabytes": (lambda _: tiff(t279=2**32 - 1), "completed"),
    "tiff of many pages": (lambda size: tiff_pages(size // 114), "completed"),
    "tiff with pages in circles": (lambda _: tiff(following=8), "completed"),
    "tiff with EXIF in circles": (lambda _: tiff(t34665=8, t34853=8, t330=8, t40965=8), "completed"),
    "tiff of many strips": (lambda size: tiff_counting(size // 5, size=size), "completed"),
    "avif larger inside than it claims": (
        lambda _: avif_claiming(16, 16, Image.new("RGB", (4000, 4000))),
        "completed",
    ),
}


def _webp_with(chunks: bytes) -> bytes:
    body = saved(photo(), "WEBP", icc_profile=srgb())[12:] + chunks
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(MB, id="short"),
        # nearly as large as fetch.max_size lets a file be
        pytest.param(20 * 10**6, id="long", marks=pytest.mark.soak),
    ],
)
def test_bomb_does_no_harm(name: str, size: int, tmp_path: Path) -> None:
    make, expected = BOMBS[name]
    ended, _, grown = set_off(make(size), tmp_path)
    assert ended == expected
    assert grown < FOR_A_BOMB + 2 * size, f"{grown / MB:.0f} MB"


async def test_bombs_of_time_are_ended_at_the_limit(tmp_path: Path) -> None:
    """A progressive JPEG of thousands of scans, and a GIF of a million frames of one pixel."""
    plain = saved(Image.new("L", (7000, 7000), 128), "JPEG", progressive=True)
    scan = plain[plain.rindex(b"\xff\xda") : -2]
    files = {"jpeg": plain[:-2] + scan * 20_000 + plain[-2:], "gif": gif(1, 1_000_000)}
    (tmp_path / "healthy").write_bytes(saved(photo(), "JPEG"))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    settings = CompressSettings(processes=2, timeout=4)
    async with CompressPool(settings, memory_limit=memory_limit(settings)) as pool:
        *ended, healthy = await asyncio.gather(
            *(
                pool.run(
                    compress_file,
                    str(tmp_path / name),
                    str(tmp_path / f"{name}.target"),
                    stem=STEM,
                    recipe=RECIPE,
                    max_pixels=settings.max_pixels,
                )
                for name in (*files, "healthy")
            ),
            return_exceptions=True,
        )
        assert [type(error) for error in ended] == [CompressTimeout, CompressTimeout]
        assert not isinstance(healthy, BaseException)
        assert pool.restarts == 2
