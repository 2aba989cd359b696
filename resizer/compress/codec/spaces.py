"""Find out what the numbers of a source mean: its colour space, whatever tells it.

Where formats leave a choice, what Chromium shows counts;
tests/compress/test_rendered_colours.py compares both.
"""

from dataclasses import dataclass
from typing import Final

from PIL import Image

from resizer.compress.codec.icc import GREY_MODES, is_usable, without_padding
from resizer.compress.codec.profiles import (
    BT709,
    SRGB_CURVE,
    Curve,
    Primaries,
    grey_profile,
    rgb_profile,
)
from resizer.compress.codec.tone import HLG, PQ
from resizer.containers import boxes
from resizer.containers import png_chunks as png
from resizer.containers.formats import Format

#: ITU-T H.273, table 2; 5 and 6 and 7 are the television of PAL and NTSC, 22 that of EBU's monitors
PRIMARIES: Final = {
    1: BT709,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: Primaries((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
#: cameras of BT.709, BT.601 and BT.2020, whose numbers are made for a display of gamma 2.4 (BT.1886)
VIDEO: Final = frozenset({1, 6, 14, 15})
BT1886: Final = Curve(2.4)
#: table 3 without them, PQ (16) and HLG (18)
CURVES: Final = {
    4: Curve(2.2),
    5: Curve(2.8),
    7: Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 0.25, 0.0912),
    8: Curve(1.0),
    13: SRGB_CURVE,
    17: Curve(2.6, (52.37 / 48) ** (1 / 2.6)),
}
#: gAMA of pictures made for sRGB
USUAL_GAMMA: Final = 0.45455
CLOSE: Final = 0.0005


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A colour space; sRGB where nothing else is known."""

    #: an ICC profile that came with the source
    icc: bytes | None = None
    #: one that is told by numbers
    primaries: Primaries = BT709
    curve: Curve = SRGB_CURVE
    #: PQ or HLG: brighter than any screen for which the formats written here are made
    hdr: int | None = None

    def profile(self, mode: str) -> bytes | None:
        """Return the ICC profile for a mode of Pillow's; None for sRGB, and for what is tone-mapped."""
        if self.icc or self.hdr:
            return self.icc
        if mode in GREY_MODES:
            return None if self.curve == SRGB_CURVE else grey_profile(self.curve)
        if self.curve == SRGB_CURVE and self.primaries.equals(BT709):
            return None
        try:
            return rgb_profile(self.primaries, self.curve)
        except ValueError:
            return None


def space_of(image: Image.Image, data: bytes, kind: Format) -> Space:
    """Return the space; the more exact statement counts where a source holds several."""
    icc = without_padding(image.info.get("icc_profile") or b"") or None
    if kind is Format.PNG:
        told = png.colours(data)
        if told.cicp and (space := _of_cicp(*told.cicp)):
            return space
        if icc and is_usable(icc):
            return Space(icc=icc)
        return Space() if told.srgb else _of_gamma(told)
    if kind in (Format.AVIF, Format.HEIF) and not icc and (numbers := boxes.nclx(data)):
        return _of_nclx(*numbers)
    return Space(icc=icc)


def _of_cicp(primaries: int, transfer: int) -> Space | None:
    """Return the space; None where one of both is unknown, so that the next statement counts."""
    where = PRIMARIES.get(primaries)
    if where is None:
        return None
    if transfer in (PQ, HLG):
        return Space(primaries=where, hdr=transfer)
    curve = BT1886 if transfer in VIDEO else CURVES.get(transfer)
    return Space(primaries=where, curve=curve) if curve else None


def _of_nclx(primaries: int, transfer: int) -> Space:
    """Return the space; browsers take an unknown curve of a still, and that of video, for sRGB's."""
    where = PRIMARIES.get(primaries, BT709)
    if transfer in (PQ, HLG):
        return Space(primaries=where, hdr=transfer)
    return Space(primaries=where, curve=CURVES.get(transfer, SRGB_CURVE))


def _of_gamma(told: png.Colours) -> Space:
    """Return the space; chromaticities count beside a gamma alone, with which 0.45455 is no longer sRGB."""
    if told.gamma is None:
        return Space()
    if told.chromaticities is None:
        usual = abs(told.gamma - USUAL_GAMMA) < CLOSE
        return Space() if usual else Space(curve=Curve(1 / told.gamma))
    white, red, green, blue = zip(told.chromaticities[::2], told.chromaticities[1::2], strict=True)
    primaries = Primaries(red, green, blue, white)
    try:
        rgb_profile(primaries, Curve(1 / told.gamma))
    except ValueError:
        return Space()
    return Space(primaries=primaries, curve=Curve(1 / told.gamma))
