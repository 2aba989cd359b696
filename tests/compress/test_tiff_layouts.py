"""Every layout of TIFF is read as a second reader reads it, or refused as unsupported."""

import struct
import zlib
from dataclasses import dataclass, field, replace
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
PALETTE = 3  # photometric interpretation


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
        words = [self.photometric, self.kind, str(self.count), self.planar, *self.extra]
        words += [f"{name}={value}" for name, value in self.options.items()]
        return " ".join([*words, *([f"{self.bits} bits"] if self.bits else [])])

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


#: layouts that any compression may pack
PLAIN = [
    Layout(count=1, photometric="minisblack"),
    Layout(count=1, photometric="miniswhite"),
    Layout(count=1, photometric="minisblack", kind="u2"),
    Layout(count=2, photometric="minisblack", extra=("unassalpha",)),
    *(Layout(kind=kind) for kind in ("u1", "u2")),
    *(Layout(kind=kind, options={"byteorder": ">"}) for kind in ("u1", "u2")),
    *(
        Layout(kind=kind, count=4, extra=(extra,))
        for kind in ("u1", "u2")
        for extra in ("unassalpha", "assocalpha", "unspecified")
    ),
    Layout(planar=SEPARATE),
    Layout(planar=SEPARATE, count=4, extra=("unassalpha",)),
]


def ours(data: bytes) -> Array:
    return np.asarray(opened(pressed(data, "png", quality=100).data)).astype(float)


@pytest.mark.parametrize("layout", READ, ids=str)
def test_accepted_layout_has_the_pixels_of_a_second_reader(layout: Layout) -> None:
    compare(layout)


def compare(layout: Layout) -> None:
    data = layout.write()
    expected = layout.second_opinion(data)
    result = opened(pressed(data, "png", quality=100).data)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[expected.shape[-1] if expected.ndim == 3 else 1]
    got = np.asarray(result.convert(mode)).astype(float)
    assert np.abs(got - expected).max() <= 1, str(layout)


@pytest.mark.parametrize("layout", PLAIN, ids=str)
def test_each_way_of_packing_it_gives_the_same_pixels(layout: Layout) -> None:
    for name in (*PACKINGS, "packbits"):
        for predictor in (False, True) if name != "packbits" else (False,):
            for tile in ({}, {"tile": TILE}):
                options = {**layout.options, "compression": name, "predictor": predictor, **tile}
                compare(replace(layout, options=options))


@pytest.mark.parametrize("layout", REFUSED, ids=str)
def test_any_other_layout_is_refused_as_unsupported(layout: Layout) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        pressed(layout.write())
    assert "TIFF of" in str(refusal.value)
    assert "export it" in str(refusal.value)


@pytest.mark.parametrize("kind, planar", [("u1", CONTIG), ("u1", SEPARATE), ("u2", CONTIG)])
def test_cmyk_is_read_as_the_second_reader_reads_it(kind: str, planar: str) -> None:
    for options in ({}, *({"compression": name} for name in (*PACKINGS, "packbits"))):
        layout = Layout(kind=kind, count=4, photometric="separated", planar=planar, options=options)
        data = layout.write()
        inks = layout.second_opinion(data) / 255
        expected = 255 * (1 - inks[..., :3]) * (1 - inks[..., 3:])
        assert np.abs(ours(data) - expected).max() <= 2


def of_few_bits(bits: int, photometric: int, *, deflated: bool) -> tuple[bytes, Array]:
    """Write a layout that the second reader cannot write; returns its palette, too."""
    table = np.random.default_rng(1).integers(0, 256, (3, 1 << bits)).astype("<u2") * 257
    numbers = (np.arange(HEIGHT * WIDTH) % (1 << bits)).reshape(HEIGHT, WIDTH).astype("u1")
    planes = np.unpackbits(numbers[..., None], axis=-1)[..., -bits:]
    strip = np.packbits(planes.reshape(HEIGHT, -1), axis=-1).tobytes()
    strip = zlib.compress(strip) if deflated else strip
    strip += bytes(len(strip) % 2)
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 8 if deflated else 1, 262: photometric, 273: 200, 277: 1}
    tags |= {278: HEIGHT, 279: len(strip)}
    entries = [struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, n) for tag, n in tags.items()]
    if photometric == PALETTE:
        entries.append(struct.pack("<HHII", 320, 3, 3 << bits, 200 + len(strip)))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return head.ljust(200, b"\0") + strip + table.tobytes(), table


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_is_read_as_the_second_reader_reads_it(bits: int, deflated: bool) -> None:
    data, table = of_few_bits(bits, PALETTE, deflated=deflated)
    expected = (table[:, tifffile.imread(BytesIO(data)).astype(int)] >> 8).transpose(1, 2, 0)
    got = opened(pressed(data, "png", quality=100).data).convert("RGB")
    assert np.array_equal(np.asarray(got), expected)


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_of_few_bits_is_read_as_the_second_reader_reads_it(
    bits: int, white_is_zero: bool, deflated: bool
) -> None:
    data, _ = of_few_bits(bits, 0 if white_is_zero else 1, deflated=deflated)
    expected = tifffile.imread(BytesIO(data)).astype(int) * 255 // ((1 << bits) - 1)
    got = opened(pressed(data, "png", quality=100).data).convert("L")
    assert np.array_equal(np.asarray(got), 255 - expected if white_is_zero else expected)


@pytest.mark.parametrize(
    "options",
    [
        *({"photometric": "ycbcr", "subsampling": pair} for pair in ((1, 1), (2, 1), (2, 2))),
        {"photometric": "ycbcr", "subsampling": (2, 2), "tile": TILE},
        {"photometric": "rgb"},
        {"photometric": "minisblack"},
    ],
    ids=str,
)
def test_jpeg_in_tiff_is_read_as_the_second_reader_reads_it(options: dict[str, Any]) -> None:
    picture = photo(64, 48).convert("L" if options["photometric"] == "minisblack" else "RGB")
    file = BytesIO()
    tifffile.imwrite(file, np.asarray(picture), compression="jpeg", metadata=None, **options)
    assert np.abs(ours(file.getvalue()) - tifffile.imread(BytesIO(file.getvalue())).astype(float)).mean() < 1


def test_cmyk_as_jpeg_is_refused() -> None:
    """Adobe's is inverted, and not every reader knows."""
    file = BytesIO()
    pixels = np.asarray(photo(64, 48).convert("CMYK"))
    tifffile.imwrite(file, pixels, metadata=None, photometric="separated", compression="jpeg")
    with pytest.raises(UnsupportedFormat):
        pressed(file.getvalue())


@pytest.mark.parametrize("reversed_bits", [False, True])
@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_ccitt", "packbits", "tiff_deflate"])
def test_bilevel_is_read_as_the_second_reader_reads_it(compression: str | None, reversed_bits: bool) -> None:
    picture = photo(64, 48).convert("1")
    data = bytearray(saved(picture, "TIFF", compression=compression, tiffinfo={266: 1}))
    if reversed_bits:
        fill_order = struct.pack("<HHI", 266, 3, 1)
        assert fill_order in data
        data[data.index(fill_order) + 8] = 2
        page = tifffile.TiffFile(BytesIO(data)).pages[0]
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            strip = np.frombuffer(data[start : start + length], "u1")
            data[start : start + length] = np.packbits(
                np.unpackbits(strip, bitorder="little"), bitorder="big"
            ).tobytes()
    expected = tifffile.imread(BytesIO(data))
    found = opened(pressed(bytes(data), "png").data).convert("1")
    assert np.array_equal(np.asarray(found), expected.astype(bool))
    assert np.array_equal(np.asarray(found), np.asarray(picture))


@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
def test_lab_is_read_as_the_second_reader_reads_it(compression: str | None) -> None:
    file = BytesIO()
    lab = np.zeros((HEIGHT, WIDTH, 3), "u1")
    lab[..., 0] = np.linspace(0, 255, WIDTH)
    tifffile.imwrite(file, lab, photometric="cielab", compression=compression, metadata=None)
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
