"""Every layout of TIFF is read as a second reader reads it, or refused as unsupported."""

import struct
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from pictures import opened, photo, pressed, saved

from resizer.errors import UnsupportedFormat

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 48, 64
CONTIG, SEPARATE = "contig", "separate"
TILE = (16, 16)


def samples(kind: str, count: int) -> Array:
    """Ramps over the whole range of a type, each sample another one; the fourth is never 0."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    bands = [x * 4, y * 5, (x + y) * 2, 255 - x * 2, 128 + y][:count]
    values = np.stack(bands, -1).clip(0, 255).astype("u1")
    wanted = np.dtype(kind)
    if wanted.kind == "u":
        return (values.astype("u8") * (int(np.iinfo(wanted).max) // 255)).astype(wanted)
    if wanted.kind == "i":
        signed: Array = ((values.astype("i8") - 128) * (2 ** (8 * wanted.itemsize - 1) // 128)).astype(wanted)
        return signed
    return (values / 255).astype(wanted)


@dataclass(frozen=True, kw_only=True)
class Layout:
    kind: str = "u1"
    count: int = 3
    photometric: str = "rgb"
    planar: str = CONTIG
    extra: tuple[str, ...] = ()
    #: fewer than the type's
    bits: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = [self.photometric, self.kind, str(self.count), self.planar, *self.extra]
        told += [f"{name}={value}" for name, value in self.options.items()]
        return " ".join([*told, *([f"{self.bits} bits"] if self.bits else [])])

    def write(self) -> bytes:
        pixels = samples(self.kind, self.count)
        options: dict[str, Any] = dict(self.options)
        if self.bits:
            pixels = pixels >> (8 * pixels.itemsize - self.bits)
            options["bitspersample"] = self.bits
        if self.count == 1:
            pixels = pixels[..., 0]
        else:
            options["planarconfig"] = self.planar
            if self.planar == SEPARATE:
                pixels = np.moveaxis(pixels, -1, 0).copy()
        if self.extra:
            options["extrasamples"] = self.extra
        file = BytesIO()
        tifffile.imwrite(file, pixels, photometric=self.photometric, metadata=None, **options)
        return file.getvalue()

    def second_opinion(self, data: bytes) -> Array:
        """What tifffile reads, as grey, RGB or CMYK of 8 bits, with alpha behind."""
        pixels = tifffile.imread(BytesIO(data))
        if self.planar == SEPARATE:
            pixels = np.moveaxis(pixels, 0, -1)
        full = 2**self.bits - 1 if self.bits else np.iinfo(pixels.dtype).max
        read = pixels.astype(float) * 255 / full
        if self.photometric == "miniswhite":
            read = 255 - read
        if self.extra == ("assocalpha",):
            read[..., :3] = np.minimum(read[..., :3] * 255 / read[..., 3:], 255)
        return read[..., :3] if self.extra == ("unspecified",) else read


RGB8, RGB16 = Layout(), Layout(kind="u2")
PACKINGS = ("deflate", "lzw", "lzma", "zstd")


def packed() -> list[Layout]:
    plain = [Layout(options={"compression": name}) for name in (*PACKINGS, "packbits")]
    for kind in ("u1", "u2"):
        for name in PACKINGS:
            plain.append(Layout(kind=kind, options={"compression": name, "predictor": True}))
            grey = {"compression": name, "predictor": True, "tile": TILE}
            plain.append(Layout(kind=kind, count=1, photometric="minisblack", options=grey))
    return plain


READ = [
    RGB8,
    RGB16,
    *packed(),
    *(Layout(kind=kind, options={"byteorder": ">"}) for kind in ("u1", "u2")),
    *(Layout(kind=kind, options={"tile": TILE}) for kind in ("u1", "u2")),
    Layout(options={"bigtiff": True}),
    Layout(kind="u2", options={"bigtiff": True}),
    Layout(options={"rowsperstrip": 5}),
    Layout(planar=SEPARATE),
    Layout(planar=SEPARATE, options={"tile": TILE}),
    *(Layout(planar=SEPARATE, options={"compression": name}) for name in (*PACKINGS, "packbits")),
    Layout(planar=SEPARATE, options={"compression": "deflate", "predictor": True}),
    *(
        Layout(kind=kind, count=4, extra=(extra,))
        for kind in ("u1", "u2")
        for extra in ("unassalpha", "assocalpha", "unspecified")
    ),
    Layout(count=4, extra=("unassalpha",), planar=SEPARATE),
    Layout(count=4, extra=("unassalpha",), options={"compression": "lzw", "predictor": True}),
    *(Layout(count=1, photometric="minisblack", kind=kind) for kind in ("u1", "u2")),
    Layout(count=1, photometric="minisblack", kind="u2", options={"byteorder": ">"}),
    *(Layout(count=1, photometric="minisblack", bits=bits) for bits in (2, 4)),
    Layout(count=1, photometric="miniswhite"),
    Layout(count=2, photometric="minisblack", extra=("unassalpha",)),
]

REFUSED = [
    *(Layout(kind=kind, options={"bigtiff": True, "byteorder": ">"}) for kind in ("u1", "u2")),
    *(
        Layout(kind=kind, count=count, photometric=photometric, planar=planar)
        for kind in ("u4", "i1", "i2", "i4", "f2", "f4", "f8")
        for count, photometric, planar in (
            (1, "minisblack", CONTIG),
            (3, "rgb", CONTIG),
            (3, "rgb", SEPARATE),
        )
    ),
    Layout(kind="u2", planar=SEPARATE),
    Layout(kind="u2", planar=SEPARATE, options={"tile": TILE}),
    Layout(kind="u2", planar=SEPARATE, options={"compression": "deflate"}),
    Layout(kind="u2", planar=SEPARATE, count=4, extra=("unassalpha",)),
    Layout(kind="u2", planar=SEPARATE, count=4, photometric="separated"),
    Layout(planar=SEPARATE, count=4, extra=("assocalpha",)),
    Layout(planar=SEPARATE, count=4, extra=("unspecified",)),
    Layout(count=5, extra=("unspecified", "unspecified")),
    Layout(count=5, photometric="separated", extra=("unspecified",)),
    Layout(count=5, photometric="minisblack", extra=("unspecified",) * 4),
    Layout(count=2, photometric="minisblack", extra=("assocalpha",)),
    Layout(count=2, photometric="minisblack", extra=("unspecified",)),
    Layout(count=2, photometric="minisblack", kind="u2", extra=("unassalpha",)),
    Layout(count=1, photometric="miniswhite", kind="u2"),
    Layout(count=1, photometric="minisblack", bits=6),
    *(Layout(count=1, photometric="minisblack", kind="u2", bits=bits) for bits in (10, 12, 14)),
    *(Layout(kind="u2", bits=bits) for bits in (10, 12, 14)),
    Layout(kind="u2", photometric="cielab"),
    Layout(photometric="icclab"),
    Layout(options={"compression": "packbits", "predictor": True}),
    Layout(
        kind="f4", count=1, photometric="minisblack", options={"compression": "deflate", "predictor": True}
    ),
    *(Layout(options={"compression": name}) for name in ("webp", "jpeg2000", "jpegxl", "lerc", "png")),
]


def ours(data: bytes) -> Array:
    return np.asarray(opened(pressed(data, "png", quality=100).data)).astype(float)


@pytest.mark.parametrize("layout", READ, ids=str)
def test_accepted_layout_has_the_pixels_of_a_second_reader(layout: Layout) -> None:
    data = layout.write()
    expected = layout.second_opinion(data)
    result = opened(pressed(data, "png", quality=100).data)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[expected.shape[-1] if expected.ndim == 3 else 1]
    got = np.asarray(result.convert(mode)).astype(float)
    assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("layout", REFUSED, ids=str)
def test_any_other_layout_is_refused_as_unsupported(layout: Layout) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        pressed(layout.write())
    assert "TIFF of" in str(refusal.value)
    assert "export it" in str(refusal.value)


@pytest.mark.parametrize("planar", [CONTIG, SEPARATE])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_cmyk_is_read_as_the_second_reader_reads_it(kind: str, planar: str) -> None:
    if (kind, planar) == ("u2", SEPARATE):
        pytest.skip("refused, see above")
    layout = Layout(kind=kind, count=4, photometric="separated", planar=planar)
    data = layout.write()
    inks = layout.second_opinion(data) / 255
    expected = 255 * (1 - inks[..., :3]) * (1 - inks[..., 3:])
    assert np.abs(ours(data) - expected).max() <= 2


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_is_read_as_the_second_reader_reads_it(bits: int) -> None:
    """Written by hand, since the second reader writes 8 bits alone."""
    table = np.random.default_rng(1).integers(0, 256, (3, 1 << bits)).astype("<u2") * 257
    numbers = (np.arange(HEIGHT * WIDTH) % (1 << bits)).reshape(HEIGHT, WIDTH).astype("u1")
    planes = np.unpackbits(numbers[..., None], axis=-1)[..., -bits:]
    strip = np.packbits(planes.reshape(HEIGHT, -1), axis=-1).tobytes()
    tags = {
        256: WIDTH,
        257: HEIGHT,
        258: bits,
        259: 1,
        262: 3,
        273: 200,
        277: 1,
        278: HEIGHT,
        279: len(strip),
    }
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, n) for tag, n in tags.items()
    )
    entries += struct.pack("<HHII", 320, 3, 3 << bits, 200 + len(strip))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags) + 1) + entries + bytes(4)
    data = head.ljust(200, b"\0") + strip + table.tobytes()
    expected = (table[:, tifffile.imread(BytesIO(data)).astype(int)] >> 8).transpose(1, 2, 0)
    got = opened(pressed(data, "png", quality=100).data).convert("RGB")
    assert np.array_equal(np.asarray(got), expected)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpeg_in_tiff_is_read_as_the_second_reader_reads_it(subsampling: tuple[int, int]) -> None:
    file = BytesIO()
    tifffile.imwrite(
        file,
        np.asarray(photo(64, 48)),
        photometric="ycbcr",
        compression="jpeg",
        subsampling=subsampling,
        metadata=None,
    )
    assert np.abs(ours(file.getvalue()) - tifffile.imread(BytesIO(file.getvalue())).astype(float)).mean() < 1


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_ccitt", "packbits", "tiff_deflate"])
def test_bilevel_is_read_as_the_second_reader_reads_it(compression: str | None) -> None:
    picture = photo(64, 48).convert("1")
    data = saved(picture, "TIFF", compression=compression)
    expected = tifffile.imread(BytesIO(data))
    assert np.array_equal(np.asarray(opened(pressed(data, "png").data).convert("1")), expected.astype(bool))


def test_lab_is_read_as_the_second_reader_reads_it() -> None:
    file = BytesIO()
    lab = np.zeros((HEIGHT, WIDTH, 3), "u1")
    lab[..., 0] = np.linspace(0, 255, WIDTH)
    tifffile.imwrite(file, lab, photometric="cielab", metadata=None)
    lightness = tifffile.imread(BytesIO(file.getvalue()))[..., 0] / 2.55
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    expected = 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    got = opened(pressed(file.getvalue(), "png", quality=100).data).convert("L")
    assert np.abs(np.asarray(got) - expected).max() < 4


def test_four_samples_without_a_word_about_the_fourth_are_refused() -> None:
    """Readers take it for alpha of one kind or the other, or for nothing."""
    data = bytearray(Layout(count=4, extra=("unassalpha",)).write())
    at = data.index((338).to_bytes(2, "little") + b"\3\0")
    data[at : at + 2] = (65000).to_bytes(2, "little")
    with pytest.raises(UnsupportedFormat):
        pressed(bytes(data))
