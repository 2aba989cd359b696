"""Pictures of patches whose colour space is stated in every way there is."""

import struct
import zlib
from functools import cache
from io import BytesIO

import numpy as np
import numpy.typing as npt
from pictures import opened, saved
from PIL import Image, ImageCms

from resizer.compress.codec.profiles import BT709, Curve, Primaries, grey_profile, rgb_profile

PATCH = 16  # pixels, as large as the blocks of any codec
#: not so saturated that any space here takes them out of sRGB, where rounding would show ten times as large
PATCHES = [
    (128, 128, 128),
    (180, 130, 100),
    (100, 130, 170),
    (20, 20, 20),
    (255, 255, 255),
    (130, 165, 130),
    (160, 120, 150),
    (64, 64, 64),
]
WIDTH = PATCH * len(PATCHES)
P3 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = Primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
LINEAR = Curve(1.0)
Pixels = npt.NDArray[np.float64]


def patches(mode: str = "RGB") -> Image.Image:
    row = np.array(PATCHES, "u1").reshape(1, -1, 3)
    return Image.fromarray(row.repeat(PATCH, 0).repeat(PATCH, 1)).convert(mode)


def centres(pixels: npt.NDArray[np.uint8]) -> Pixels:
    """The mean of the middle of each patch."""
    side = pixels.shape[1] // len(PATCHES)
    rows, columns = slice(side // 4, side * 3 // 4), range(side // 4, pixels.shape[1], side)
    return np.array([pixels[rows, at : at + side // 2, :3].mean((0, 1)) for at in columns])


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes, picture: Image.Image | None = None) -> bytes:
    data = saved(picture or patches(), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def deep_png(*chunks: bytes) -> bytes:
    """With 16 bits a sample."""
    pixels = np.asarray(patches()).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + body


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes((primaries, transfer, 0, 1)))


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(of: Primaries) -> bytes:
    values = [value for point in (of.white, of.red, of.green, of.blue) for value in point]
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


SRGB_CHUNK = chunk(b"sRGB", b"\0")


def avif(primaries: int, transfer: int, mode: str = "RGB") -> bytes:
    data = bytearray(saved(patches(mode), "AVIF", quality=100, subsampling="4:4:4", speed=8))
    struct.pack_into(">HH", data, data.index(b"colrnclx") + 8, primaries, transfer)
    return bytes(data)


@cache
def sources() -> dict[str, bytes]:
    p3, linear = rgb_profile(P3, SRGB_CURVE), rgb_profile(BT709, LINEAR)
    few = patches().quantize(16)
    clear = patches("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    return {
        "PNG": png(),
        "PNG P3": png(cicp(12, 13)),
        "PNG P3 palette": png(cicp(12, 13), picture=few),
        "PNG P3 alpha": png(cicp(12, 13), picture=clear),
        "PNG P3 deep": deep_png(cicp(12, 13)),
        "PNG BT.709": png(cicp(1, 1)),
        "PNG BT.2020": png(cicp(9, 14)),
        "PNG PAL": png(cicp(5, 5)),
        "PNG 1953": png(cicp(4, 4)),
        "PNG film": png(cicp(8, 7)),
        "PNG linear": png(cicp(1, 8)),
        "PNG unknown cICP": png(cicp(99, 13), gama(1)),
        "PNG cICP before ICC": png(iccp(linear), cicp(12, 13)),
        "PNG ICC before sRGB": png(iccp(p3), SRGB_CHUNK, gama(1)),
        "PNG sRGB before gAMA": png(SRGB_CHUNK, gama(1), chrm(ADOBE)),
        "PNG broken ICC": png(iccp(bytes(300)), gama(1)),
        "PNG gAMA usual": png(gama(0.45455)),
        "PNG gAMA 1": png(gama(1)),
        "PNG gAMA cHRM": png(gama(0.45455), chrm(ADOBE)),
        "PNG gAMA cHRM of sRGB": png(gama(0.45455), chrm(BT709)),
        "PNG cHRM alone": png(chrm(ADOBE)),
        "PNG cHRM of nothing": png(gama(1), chunk(b"cHRM", bytes(32))),
        "PNG grey gAMA 1": png(gama(1), picture=patches("L")),
        "PNG grey alpha gAMA 1": png(gama(1), picture=clear.convert("LA")),
        "PNG grey cICP": png(cicp(12, 8), picture=patches("L")),
        "PNG grey ICC": png(iccp(grey_profile(LINEAR)), picture=patches("L")),
        "PNG grey ICC of RGB": png(iccp(linear), picture=patches("L")),
        "PNG ICC of grey": png(iccp(grey_profile(LINEAR))),
        "PNG PQ": png(cicp(9, 16)),
        "PNG HLG": png(cicp(9, 18)),
        "PNG PQ grey": png(cicp(9, 16), picture=patches("L")),
        "JPEG P3": saved(patches(), "JPEG", quality=98, subsampling=0, icc_profile=p3),
        "JPEG grey": saved(patches("L"), "JPEG", quality=98, icc_profile=grey_profile(LINEAR)),
        "JPEG grey ICC of RGB": saved(patches("L"), "JPEG", quality=98, icc_profile=linear),
        "WebP P3": saved(patches(), "WEBP", lossless=True, icc_profile=p3),
        "AVIF": avif(1, 13),
        "AVIF P3": avif(12, 13),
        "AVIF P3 alpha": avif(12, 13, "RGBA"),
        "AVIF BT.709": avif(1, 1),
        "AVIF BT.2020": avif(9, 14),
        "AVIF gamma 2.2": avif(1, 4),
        "AVIF linear": avif(1, 8),
        "AVIF unknown": avif(2, 2),
        "AVIF unknown curve": avif(12, 2),
        "AVIF grey": avif(1, 8, "L"),
        "AVIF ICC": saved(patches(), "AVIF", quality=100, subsampling="4:4:4", speed=8, icc_profile=p3),
        "AVIF PQ": avif(9, 16),
        "AVIF HLG": avif(9, 18),
    }


def by_its_profile(data: bytes) -> Pixels:
    """What LittleCMS makes of a picture by its ICC profile, and by that alone."""
    picture = opened(data)
    profile = picture.info.get("icc_profile")
    mode = "L" if picture.mode in ("1", "L", "LA") and profile else "RGB"
    picture = (picture.convert("RGBA") if picture.mode == "P" else picture).convert(mode)
    if profile:
        srgb = ImageCms.createProfile("sRGB")
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, own, srgb, outputMode="RGB")
        assert converted
        picture = converted
    return centres(np.asarray(picture))
