"""Damaged images, the same in every run: a fuzz corpus over every format that is read."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pictures import animated, balls, disc, every_format, exif, photo, saved, srgb

from resizer.models import OutputFormat, Recipe

#: values that a size, a count or an offset is set to
EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
LARGEST = 2**20  # bytes of a repeated part
WIDTH = 20  # pixels asked for, where fewer are asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Damaged:
    """One file of the corpus, and the recipe for it."""

    name: str
    data: bytes
    recipe: Recipe


@cache
def originals() -> dict[str, bytes]:
    """Whole files: every format with each of its kinds of pixels and compressions."""
    picture, frames = photo(40, 28), balls(3, clear=False, size=(32, 24))
    grey = picture.convert("L")
    files = every_format()
    files["mpo"] = saved(picture, "MPO", save_all=True, append_images=[photo(40, 28, seed=2)])
    files["jpeg_profile"] = saved(picture, "JPEG", icc_profile=srgb(), exif=exif(8), restart_marker_blocks=2)
    for mode in ("1", "L", "LA", "I;16", "RGBA"):
        files[f"png_{mode}"] = saved(grey.convert(mode) if mode != "RGBA" else disc(40, 28), "PNG")
    files["png_text"] = saved(
        picture, "PNG", icc_profile=srgb(), exif=exif(6), dpi=(72, 72), compress_level=0
    )
    files["apng_wall"] = animated(frames, "PNG", duration=40, default_image=True)
    files["webp_profile"] = saved(picture, "WEBP", icc_profile=srgb(), exif=exif(5))
    files["gif_wall"] = animated(frames, "GIF", duration=40, loop=0)
    files["gif_interlaced"] = saved(grey, "GIF", interlace=True, transparency=7)
    files["avif_profile"] = saved(picture, "AVIF", icc_profile=srgb(), exif=exif(3), subsampling="4:4:4")
    for mode in ("1", "L", "RGBA"):
        files[f"bmp_{mode}"] = saved(picture.convert(mode), "BMP")
    for kind in ("packbits", "tiff_deflate", "tiff_adobe_deflate", "lzma"):
        files[f"tiff_{kind}"] = saved(picture, "TIFF", compression=kind)
    for kind in ("group3", "group4", "tiff_ccitt"):
        files[f"tiff_{kind}"] = saved(picture.convert("1"), "TIFF", compression=kind)
    for mode in ("I;16", "F", "CMYK", "LAB", "P"):
        files[f"tiff_{mode}"] = saved((grey if mode in ("I;16", "F") else picture).convert(mode), "TIFF")
    for path in sorted((Path(__file__).parent / "heic").glob("*.heic")):
        files[f"heif_{path.stem}"] = path.read_bytes()
    files["tiff_profile"] = saved(picture, "TIFF", icc_profile=srgb(), exif=exif(6), big_tiff=True)
    files["tiff_pages"] = animated([picture, photo(40, 28, seed=3)], "TIFF", compression="tiff_lzw")
    return files


def corpus(seed: int, count: int) -> Iterator[Damaged]:
    """Yield so many damaged files; every original is used about equally often."""
    luck = random.Random(seed)
    files = originals()
    names = list(files)
    for number in range(count):
        name = names[number % len(names)]
        data = files[name]
        for _ in range(luck.choice((1, 1, 1, 2))):
            data = luck.choice(WAYS)(data, luck)
        if luck.random() < 0.5:
            data = summed(data)
        wanted = luck.choice((*2 * [OutputFormat.KEEP], *OutputFormat))
        width = luck.choice((0, 0, WIDTH))
        yield Damaged(name=name, data=data, recipe=Recipe(quality=50, format=wanted, max_width=width))


def flip_bits(data: bytes, luck: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(luck.choice((1, 1, 2, 8))):
        changed[_place(data, luck)] ^= 1 << luck.randrange(8)
    return bytes(changed)


def cut_off(data: bytes, luck: random.Random) -> bytes:
    return data[: max(16, luck.randrange(len(data)))]


def edit_number(data: bytes, luck: random.Random) -> bytes:
    """Set bytes that may be a size, a count, a length or an offset to an invalid value."""
    changed = bytearray(data)
    for _ in range(luck.choice((1, 1, 2, 5))):
        size = luck.choice((1, 2, 2, 4, 4, 8))
        value = luck.choice((*EXTREMES, len(data), luck.getrandbits(8 * size)))
        at = min(_place(data, luck), max(len(data) - size, 0))
        changed[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, luck.choice(("little", "big")))
    return bytes(changed)


def overwrite(data: bytes, luck: random.Random) -> bytes:
    changed = bytearray(data)
    at, size = _place(data, luck), luck.randrange(1, 40)
    changed[at : at + size] = luck.choice((bytes(size), b"\xff" * size, luck.randbytes(size)))
    return bytes(changed)


def shift(data: bytes, luck: random.Random) -> bytes:
    """Remove or insert some bytes, so that every offset behind them is wrong."""
    at, size = _place(data, luck), luck.randrange(1, 40)
    return data[:at] + (data[at + size :] if luck.random() < 0.5 else luck.randbytes(size) + data[at:])


def splice(data: bytes, luck: random.Random) -> bytes:
    """Go on as another file, of the same format or not."""
    other = luck.choice(list(originals().values()))
    return data[: _place(data, luck) + 1] + other[luck.randrange(len(other)) :]


def edit_chunks(data: bytes, luck: random.Random) -> bytes:
    """Remove, repeat, swap or damage whole parts, with lengths and checksums that fit."""
    parts = split(data)
    if len(parts) < 2:
        return edit_number(data, luck)
    at = luck.randrange(1, len(parts))
    match luck.randrange(4):
        case 0:
            del parts[at]
        case 1:
            parts[at:at] = [parts[at]] * min(luck.choice((1, 2, 200)), LARGEST // len(parts[at]))
        case 2:
            other = luck.randrange(1, len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        case _:
            part = parts[at]
            parts[at] = part[:8] + edit_number(part[8:], luck) if len(part) > 12 else part
    return summed(b"".join(parts))


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits,
    cut_off,
    edit_number,
    edit_number,
    overwrite,
    shift,
    splice,
    edit_chunks,
    edit_chunks,
)


def split(data: bytes) -> list[bytes]:
    """Cut a file into its head and its chunks, segments, boxes or blocks; an odd part stays in one piece."""
    if data.startswith(PNG_MAGIC):
        return _cut(data, 8, lambda at: 12 + int.from_bytes(data[at : at + 4]))
    if data.startswith(b"RIFF"):
        return _cut(data, 12, lambda at: 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1 & ~1))
    if data[4:8] == b"ftyp":
        return _cut(data, 0, lambda at: int.from_bytes(data[at : at + 4]))
    if data.startswith(b"\xff\xd8"):
        return _cut(data, 2, lambda at: 2 + int.from_bytes(data[at + 2 : at + 4]))
    # the entries of a TIFF's directory are of this size, and elsewhere it is as good as any
    return _cut(data, 10, lambda _: 12)


def _cut(data: bytes, at: int, length: Callable[[int], int]) -> list[bytes]:
    parts = [data[:at]]
    while at < len(data):
        end = at + max(length(at), 1)
        parts.append(data[at:end])
        at = end
    return parts


def summed(data: bytes) -> bytes:
    """Make the checksums of a PNG right: readers look no further into a chunk that has a wrong one."""
    if not data.startswith(PNG_MAGIC):
        return data
    head, *chunks = split(data)
    return head + b"".join(
        chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4])) if len(chunk) > 11 else chunk
        for chunk in chunks
    )


def _place(data: bytes, luck: random.Random) -> int:
    """Choose a byte; headers are where the harm is."""
    return luck.randrange(max(min(len(data), luck.choice((64, 512, len(data)))), 1))
