"""Find the pixel layout of a TIFF in its first directory, and whether it is certain to be decoded correctly.

TIFF 6.0 lets writers combine options freely; readers know some combinations and mistake others for them. The
combinations listed here are compared with a second reader in tests/compress/test_tiff_layouts.py.
"""

import struct
from dataclasses import dataclass
from typing import Final

MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LARGEST_COUNT: Final = 64  # values of a tag that are read; no tag needed here has as many
#: `struct` format of each integer type
NUMBERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}

NEW_SUBFILE_TYPE, BITS, COMPRESSION, PHOTOMETRIC = 254, 258, 259, 262
FILL_ORDER = 266
SAMPLES, PLANAR, PREDICTOR, SUB_DIRECTORIES = 277, 284, 317, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 332, 338, 339, 50706
#: colour filter array and linear raw: the values of a sensor
RAW_PHOTOMETRICS: Final = frozenset({32803, 34892})

BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR, CIELAB = 1, 2, 3, 5, 6, 8
PHOTOMETRICS: Final = {
    0: "grey",
    BLACK_IS_ZERO: "grey",
    RGB: "RGB",
    PALETTE: "palette",
    SEPARATED: "CMYK",
    YCBCR: "YCbCr",
    CIELAB: "Lab",
}
GREYS: Final = frozenset({0, BLACK_IS_ZERO})
UNSIGNED = 1
FORMATS: Final = {2: "signed", 3: "floating-point"}
CMYK_INKS = 1
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
PLAIN, CCITT, JPEG, PACKBITS = 1, frozenset({2, 3, 4}), 7, 32773
#: LZW, deflate under two numbers, LZMA, Zstandard
PREDICTED: Final = frozenset({5, 8, 32946, 34925, 50000})
COMPRESSIONS: Final = frozenset({PLAIN, *CCITT, JPEG, PACKBITS, *PREDICTED})
BYTE = 8
SEPARATE = 2  # a plane for each sample
DIFFERENCES = 2  # of neighbours, the only predictor of integers

#: photometric interpretation and bits under JPEG compression
JPEGS: Final = {(BLACK_IS_ZERO, (8,)), (RGB, (8, 8, 8)), (YCBCR, (8, 8, 8))}
#: photometric interpretation, bits of each sample, meaning of each extra sample
INTERLEAVED: Final = {
    *((grey, (bits,), ()) for grey in (0, BLACK_IS_ZERO) for bits in (1, 2, 4, 8)),
    (BLACK_IS_ZERO, (16,), ()),
    (BLACK_IS_ZERO, (8, 8), (UNASSOCIATED,)),
    *((PALETTE, (bits,), ()) for bits in (1, 2, 4, 8)),
    *((RGB, (bits,) * 3, ()) for bits in (8, 16)),
    *((RGB, (bits,) * 4, (extra,)) for bits in (8, 16) for extra in (UNSPECIFIED, ASSOCIATED, UNASSOCIATED)),
    *((SEPARATED, (bits,) * 4, ()) for bits in (8, 16)),
    (YCBCR, (8, 8, 8), ()),
    (CIELAB, (8, 8, 8), ()),
}
PLANES: Final = {
    (RGB, (8, 8, 8), ()),
    (RGB, (8, 8, 8, 8), (UNASSOCIATED,)),
    (SEPARATED, (8, 8, 8, 8), ()),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    photometric: int
    bits: tuple[int, ...]
    extra: tuple[int, ...]
    formats: frozenset[int]
    compression: int
    predictor: int
    planar: int
    inks: int
    fill_order: int
    #: BigTIFF with the highest byte first, which Pillow does not open
    big_reversed: bool

    @property
    def is_certain(self) -> bool:
        """Whether its pixels are certain to be decoded correctly."""
        known = PLANES if self.planar == SEPARATE and len(self.bits) > 1 else INTERLEAVED
        return (
            (self.photometric, self.bits, self.extra) in known
            and self.formats == {UNSIGNED}
            and (self.photometric != SEPARATED or self.inks == CMYK_INKS)
            and self._unpacks
            and self._has_usual_bits
            and not self.big_reversed
        )

    @property
    def _unpacks(self) -> bool:
        if self.compression in CCITT and (self.photometric not in GREYS or self.bits != (1,)):
            return False
        if self.compression == JPEG or self.photometric == YCBCR:
            return self._is_jpeg
        predicted = self.predictor == DIFFERENCES and self.compression in PREDICTED and self.bits[0] >= BYTE
        return self.compression in COMPRESSIONS and (self.predictor == 1 or predicted)

    @property
    def _is_jpeg(self) -> bool:
        known = (self.photometric, self.bits) in JPEGS and self.planar != SEPARATE
        return self.compression == JPEG and self.predictor == 1 and known

    @property
    def _has_usual_bits(self) -> bool:
        # Faxes begin with the lowest bit of a byte.
        return self.fill_order == 1 or self.bits == (1,)

    def __str__(self) -> str:
        kind = PHOTOMETRICS.get(self.photometric, f"photometric {self.photometric}")
        bits = f"{max(self.bits)}-bit "
        form = "".join(f"{FORMATS[number]} " for number in sorted(self.formats & FORMATS.keys()))
        planes = ", planes" if self.planar == SEPARATE and len(self.bits) > 1 else ""
        packed = "" if self.compression == PLAIN else f", compression {self.compression}"
        big = "big-endian BigTIFF" if self.big_reversed else "TIFF"
        return f"a {big} of {bits}{form}{kind} with {len(self.bits)} samples{planes}{packed}"


def is_raw(data: bytes) -> bool:
    """Return whether the first page is a raw camera file, whose thumbnail alone can be read."""
    tags = directory(data)
    reduced = tags.get(NEW_SUBFILE_TYPE, (0,))[0] & 1 and SUB_DIRECTORIES in tags
    return bool(DNG_VERSION in tags or tags.get(PHOTOMETRIC, (0,))[0] in RAW_PHOTOMETRICS or reduced)


def layout(data: bytes) -> Layout | None:
    """Return the layout of the first page; None if its directory cannot be read."""
    tags = directory(data)
    if not tags:
        return None
    samples = tags.get(SAMPLES, (1,))[0]
    bits = tags.get(BITS, (1,))
    if len(bits) == 1 and 0 < samples <= LARGEST_COUNT:
        bits *= samples  # some writers give one number for all
    return Layout(
        photometric=tags.get(PHOTOMETRIC, (0,))[0],
        bits=bits[:samples] or (1,),
        extra=tags.get(EXTRA_SAMPLES, ()),
        formats=frozenset(tags.get(SAMPLE_FORMAT, (UNSIGNED,))),
        compression=tags.get(COMPRESSION, (PLAIN,))[0],
        predictor=tags.get(PREDICTOR, (1,))[0],
        planar=tags.get(PLANAR, (1,))[0],
        inks=tags.get(INK_SET, (CMYK_INKS,))[0],
        fill_order=tags.get(FILL_ORDER, (1,))[0],
        big_reversed=data.startswith(b"MM\0+"),
    )


def directory(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the integers of the first directory by tag, as far as they can be read."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    entry = struct.Struct(f"{order}HHQ8s" if big else f"{order}HHI4s")
    found: dict[int, tuple[int, ...]] = {}
    try:
        (start,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, start)
        start += 8 if big else 2
        for at in range(start, min(start + entry.size * count, len(data) - entry.size + 1), entry.size):
            tag, kind, many, value = entry.unpack_from(data, at)
            if kind not in NUMBERS or not 0 < many <= LARGEST_COUNT:
                # Only its presence matters.
                found.setdefault(tag, (0,))
                continue
            form = struct.Struct(f"{order}{many}{NUMBERS[kind]}")
            if form.size > len(value):
                (place,) = struct.unpack(f"{order}Q" if big else f"{order}I", value)
                found[tag] = form.unpack_from(data, place)
            else:
                found[tag] = form.unpack_from(value)
    except (struct.error, OverflowError):
        return found
    return found
