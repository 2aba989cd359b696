"""Damaged, hostile and oversized images."""

import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from heads import chunk, gif_head, png_head, tiff_head, webp_head
from pictures import animated, balls, every_format, photo, pressed, saved
from PIL import Image

from resizer.compress.codec import Encoded
from resizer.errors import CorruptImage, ImageError, NotAnImage, TooManyPixels, UnsupportedFormat

EVERY = every_format()


@pytest.mark.parametrize("name", EVERY)
def test_truncated_image_is_corrupt_or_whole_never_anything_else(name: str) -> None:
    data = EVERY[name]
    for part in range(1, 12):
        cut = data[: max(32, len(data) * part // 12)]
        try:
            encoded = pressed(cut)
        except CorruptImage:
            continue
        # readers may accept a file that lacks a frame or its tail
        assert part > 2
        assert encoded.data


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "avif", "bmp", "tiff"])
def test_half_an_image_is_corrupt_and_says_so_in_plain_words(name: str) -> None:
    with pytest.raises(CorruptImage) as refusal:
        pressed(EVERY[name][: len(EVERY[name]) // 2])
    assert refusal.value.reason in ("it ends too early", "it cannot be decoded")


@pytest.mark.parametrize(
    "head",
    [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM" + b"\0" * 30, b"II*\0\x08\0\0\0", b"MM\0+"],
)
def test_nothing_but_the_first_bytes_is_corrupt(head: bytes) -> None:
    with pytest.raises(CorruptImage):
        pressed(head)


@pytest.mark.parametrize("width, height", [(0, 5), (5, 0), (0, 0)])
def test_image_without_area_is_corrupt(width: int, height: int) -> None:
    with pytest.raises(CorruptImage):
        pressed(png_head(width, height, chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")))
    with pytest.raises(CorruptImage):
        pressed(gif_head(width, height, 1))


@pytest.mark.parametrize(
    "data, facts",
    [
        (png_head(30000, 30000), (30000, 30000, 1)),
        (png_head(30000, 30000, chunk(b"IDAT", zlib.compress(bytes(4_000_000)))), (30000, 30000, 1)),
        (
            png_head(100, 100, chunk(b"acTL", struct.pack(">II", 5000, 0)), chunk(b"IDAT", b"")),
            (100, 100, 5001),
        ),
        (tiff_head(), (40000, 40000, 1)),
        (tiff_head(t256=64, t257=64, t322=1 << 20, t323=1 << 20, t324=400), (1 << 20, 1 << 20, 1)),
        (webp_head(16000, 16000, 1), (16000, 16000, 1)),
        (webp_head(200, 200, 5000), (200, 200, 5000)),
        (gif_head(60000, 60000, 1), (60000, 60000, 1)),
        (gif_head(100, 100, 20000), (100, 100, 20000)),
        (
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0),
            (30000, 30000, 1),
        ),
        (
            b"\xff\xd8\xff\xc0\0\x11\x08"
            + struct.pack(">HH", 60000, 60000)
            + b"\x03\1\x11\0\2\x11\0\3\x11\0",
            (60000, 60000, 1),
        ),
    ],
)
def test_too_many_pixels_are_seen_in_the_header_alone(data: bytes, facts: tuple[int, int, int]) -> None:
    """There is no picture behind these headers: an attempt to decode would find them corrupt."""
    tracemalloc.start()
    with pytest.raises(TooManyPixels) as refusal:
        pressed(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    error = refusal.value
    assert (error.width, error.height, error.frames) == facts
    assert error.limit == 10_000_000
    assert peak < 8_000_000


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_pixels_of_all_frames_count(kind: str) -> None:
    data = animated(balls(6), kind, duration=50)
    assert pressed(data, max_pixels=60 * 40 * 6).width == 60
    with pytest.raises(TooManyPixels) as refusal:
        pressed(data, max_pixels=60 * 40 * 6 - 1)
    assert refusal.value.frames == 6


def test_gif_frames_that_stick_out_count_with_the_canvas_they_make() -> None:
    inside = b"," + struct.pack("<4HB", 0, 0, 10, 10, 0) + b"\x08\0"
    outside = b"," + struct.pack("<4HB", 60000, 60000, 5000, 5000, 0) + b"\x08\0"
    with pytest.raises(TooManyPixels) as refusal:
        pressed(b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0) + inside + outside + b";")
    assert (refusal.value.width, refusal.value.frames) == (65000, 2)


def test_just_so_many_pixels_pass() -> None:
    data = saved(photo(96, 64), "JPEG")
    assert pressed(data, max_pixels=96 * 64).width == 96
    with pytest.raises(TooManyPixels):
        pressed(data, max_pixels=96 * 64 - 1)


def test_only_the_first_page_of_a_tiff_counts() -> None:
    pages = [photo(40, 40, seed) for seed in range(5)]
    assert pressed(animated(pages, "TIFF"), max_pixels=1600).format == "jpeg"


def test_broken_exif_and_profile_fail_nothing() -> None:
    picture = photo()
    for data in (
        saved(picture, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff", icc_profile=b"no profile"),
        saved(picture, "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff", icc_profile=b"x" * 300),
        saved(picture, "WEBP", exif=b"garbage", icc_profile=b"x" * 300),
        saved(picture.convert("CMYK"), "JPEG", icc_profile=b"x" * 200),
    ):
        assert pressed(data).width == 96


@pytest.mark.parametrize("wanted", ["keep", "jpeg", "webp"])
def test_palette_image_without_its_palette_is_corrupt(wanted: str) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(4 * 5)))
    with pytest.raises(CorruptImage):
        pressed(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""), wanted)


@pytest.mark.parametrize("wanted", ["keep", "webp", "avif"])
def test_animation_without_its_palette_is_corrupt(wanted: str) -> None:
    """It is met while the result is written, and must not look like a lack of memory."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    first, second = (
        b"!\xf9\x04\5\5\0\0\0," + struct.pack("<4HB", 0, 0, 1, 1, flags) + colours + b"\x02\x02\x44\1\0"
        for flags, colours in ((0, b""), (0x80, bytes(6)))
    )
    with pytest.raises(CorruptImage):
        pressed(head + first + second + b";", wanted)


def test_damage_makes_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    """Some libraries write straight to standard error."""
    data = bytearray(saved(photo().convert("1"), "TIFF", compression="group4"))
    data[8:60] = random.Random(2).randbytes(52)
    with suppress(CorruptImage):
        pressed(bytes(data))
    for name in ("tiff_lzw", "tiff_jpeg"):
        changed = bytearray(EVERY[name])
        changed[40:80] = b"\xaa" * 40
        with suppress(CorruptImage):
            pressed(bytes(changed))
    assert capfd.readouterr().err == ""


def test_every_error_survives_pickling() -> None:
    for data, kind in (
        (b"hello", NotAnImage),
        (b"<svg/>", UnsupportedFormat),
        (b"\xff\xd8\xff\xe0", CorruptImage),
        (png_head(30000, 30000), TooManyPixels),
    ):
        with pytest.raises(kind) as refusal:
            pressed(data)
        again = pickle.loads(pickle.dumps(refusal.value))
        assert type(again) is kind
        assert str(again) == str(refusal.value)
        assert "0x" not in str(again)


MEMORY = """
import resource, sys
from pathlib import Path
from resizer.compress.codec import compress
from resizer.models import OutputFormat, Recipe
data = Path(sys.argv[1]).read_bytes()
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    compress(data, recipe=Recipe(quality=50, format=OutputFormat(sys.argv[2])), max_pixels=10**8)
except Exception as error:
    print(type(error).__name__)
else:
    print("done")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks the kernel how large a process is")
@pytest.mark.parametrize("wanted", ["png", "webp", "avif"])
def test_lack_of_memory_is_not_taken_for_damage(tmp_path: Path, wanted: str) -> None:
    """It is enough to decode, not to write: the libraries raise errors of all kinds."""
    ramp = Image.linear_gradient("L").resize((3000, 3000))
    bands = ramp, ramp.transpose(Image.Transpose.ROTATE_90), ramp.transpose(Image.Transpose.ROTATE_180)
    source = tmp_path / "source"
    source.write_bytes(saved(Image.merge("RGB", bands), "PNG", compress_level=1))
    command = [sys.executable, "-c", MEMORY, str(source), wanted, str(9_000_000 * 5)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "MemoryError", ended.stderr


def damaged(data: bytes, luck: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(luck.choice((1, 2, 8, 40))):
        # headers are where the harm is
        at = luck.randrange(min(len(changed), luck.choice((64, 512, len(changed)))))
        changed[at] = luck.choice((0, 255, changed[at] ^ 1 << luck.randrange(8), luck.randrange(256)))
    if luck.random() < 0.25:
        del changed[luck.randrange(len(changed)) :]
    if luck.random() < 0.15:
        at = luck.randrange(len(changed) + 1)
        changed[at:at] = luck.randbytes(luck.randrange(1, 40))
    return bytes(changed)


def fuzz(seed: int, rounds: int) -> None:
    luck = random.Random(seed)
    formats = ["keep", "keep", "jpeg", "png", "webp", "avif"]
    for _ in range(rounds):
        name = luck.choice(list(EVERY))
        data = damaged(EVERY[name], luck)
        wanted, width = luck.choice(formats), luck.choice((0, 0, 20))
        try:
            encoded = pressed(data, wanted, max_width=width, max_pixels=200_000)
        except ImageError:
            continue
        assert isinstance(encoded, Encoded), name
        assert encoded.width * encoded.height <= 200_000


def test_damage_ends_in_an_image_or_an_image_error() -> None:
    fuzz(seed=7, rounds=500)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
def test_much_damage_ends_in_an_image_or_an_image_error(seed: int) -> None:
    fuzz(seed=1000 + seed, rounds=2500)
