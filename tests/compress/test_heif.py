"""HEIC: files that pillow-heif wrote; grid.heic is made by hand of two tiles, a depth map and a thumbnail."""

import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from pictures import opened, pressed

from resizer.compress.codec import heif
from resizer.containers.formats import Format, sniff
from resizer.errors import CorruptImage, ImageError, TooManyPixels, UnsupportedFormat

FOLDER = Path(__file__).parent / "heic"
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.heic"))}
RED, GREEN, BLUE, YELLOW = (220, 40, 30), (40, 180, 60), (30, 60, 200), (240, 220, 40)
#: the corners of all but the grid: left and right above, left and right below
CORNERS = [RED, GREEN, BLUE, YELLOW]

needs_extra = pytest.mark.skipif(not heif.AVAILABLE, reason="needs the extra resizer[heif]")


def corners(data: bytes) -> list[tuple[int, ...]]:
    picture = opened(data).convert("RGB")
    right, low = picture.width - 6, picture.height - 6
    return [picture.getpixel(place) for place in ((5, 5), (right, 5), (5, low), (right, low))]


def near(found: Sequence[tuple[int, ...]], expected: Sequence[tuple[int, ...]]) -> bool:
    return all(
        abs(a - b) < 8
        for one, two in zip(found, expected, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_heic_is_recognized_by_its_brands() -> None:
    assert all(sniff(data) is Format.HEIF for data in FILES.values())


@needs_extra
@pytest.mark.parametrize("wanted", ["keep", "jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("name", ["plain", "ten_bit", "two", "exif_only"])
def test_primary_picture_is_shown_upright_as_the_container_says(name: str, wanted: str) -> None:
    """EXIF counts for nothing: where the container does not turn it, it is upright."""
    result = pressed(FILES[name], wanted, quality=90)
    assert result.format == ("jpeg" if wanted == "keep" else wanted)
    assert (result.width, result.height) == (96, 64)
    assert near(corners(result.data), CORNERS)
    assert b"secret" not in result.data


@needs_extra
def test_turned_picture_is_turned_once() -> None:
    result = pressed(FILES["turned"], quality=90)
    assert (result.width, result.height) == (64, 96)
    assert near(corners(result.data), [BLUE, RED, YELLOW, GREEN])
    assert not opened(result.data).getexif()


@needs_extra
def test_grid_is_put_together_without_its_depth_map_and_thumbnail() -> None:
    result = pressed(FILES["grid"], quality=90)
    assert (result.width, result.height) == (60, 120)
    assert near(corners(result.data), [GREEN, GREEN, RED, RED])


@needs_extra
def test_transparency_becomes_png() -> None:
    result = pressed(FILES["alpha"])
    assert result.format == "png"
    assert opened(result.data).convert("RGBA").getpixel((5, 5))[3] == 0
    assert opened(pressed(FILES["alpha"], "jpeg", quality=90).data).getpixel((5, 5)) == (255, 255, 255)


@needs_extra
@pytest.mark.parametrize("name", ["icc_p3", "nclx_p3"])
def test_colours_are_kept(name: str) -> None:
    assert opened(pressed(FILES[name]).data).info["icc_profile"]
    assert "icc_profile" not in opened(pressed(FILES["plain"]).data).info


@needs_extra
def test_heic_never_stays_heic() -> None:
    """Even where the JPEG is larger."""
    result = pressed(FILES["plain"], quality=100, effort="fast")
    assert len(result.data) > len(FILES["plain"])
    assert result.format == "jpeg"


@needs_extra
def test_too_many_pixels_are_seen_before_they_are_decoded() -> None:
    at = FILES["grid"].rindex(b"ispe") + 8
    large = FILES["grid"][:at] + (40000).to_bytes(4) * 2 + FILES["grid"][at + 8 :]
    with pytest.raises(TooManyPixels) as refusal:
        pressed(large)
    assert (refusal.value.width, refusal.value.height) == (40000, 40000)


@needs_extra
def test_cut_off_heic_is_corrupt() -> None:
    for part in range(1, 10):
        with pytest.raises(CorruptImage):
            pressed(FILES["plain"][: len(FILES["plain"]) * part // 10 + 12])


@needs_extra
def test_heif_of_another_coding_is_unsupported() -> None:
    with pytest.raises(UnsupportedFormat, match="vvc1"):
        pressed(FILES["plain"].replace(b"hvc1", b"vvc1"))


@needs_extra
def test_damaged_heic_ends_in_an_image_or_an_image_error() -> None:
    luck = random.Random(3)
    ends = set()
    for number in range(400):
        data = bytearray(FILES[luck.choice(list(FILES))])
        for _ in range(luck.choice((1, 2, 8))):
            data[luck.randrange(12, len(data))] = luck.choice((0, 255, luck.randrange(256)))
        with suppress(ImageError):
            ends.add(pressed(bytes(data), max_pixels=200_000).format)
        assert number < 400
    assert "jpeg" in ends


WITHOUT = """
import sys
sys.modules["pi_heif"] = None
from pathlib import Path
from resizer.errors import UnsupportedFormat
from resizer.compress.codec import compress
from resizer.models import OutputFormat, Recipe
try:
    recipe = Recipe(quality=50, format=OutputFormat.KEEP)
    compress(Path(sys.argv[1]).read_bytes(), recipe=recipe, max_pixels=10**6)
except UnsupportedFormat as error:
    print(error)
"""


def test_without_the_extra_the_message_names_it() -> None:
    command = [sys.executable, "-c", WITHOUT, str(FOLDER / "plain.heic")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "HEIC is not supported" in ended.stdout
    assert "pip install 'resizer[heif]'" in ended.stdout


@needs_extra
def test_part_whose_type_is_no_text_is_damage_and_ends_no_process() -> None:
    """The library below takes an invalid text for one, and ends the process."""
    data = FILES["exif_only"]
    at = data.index(b"Exif", data.index(b"iinf"))
    with pytest.raises(CorruptImage):
        pressed(data[:at] + b"\xff\xff\x7f\0" + data[at + 4 :])
