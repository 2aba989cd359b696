"""Find the colour space of a source, in whichever way its format states it.

Where formats leave a choice, Chromium decides; tests/compress/test_rendered_colours.py compares the results.
"""

from dataclasses import dataclass
from typing import Final

from PIL import Image

from resizer.compress.codec.icc import GREY_MODES, open_profile, without_padding
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

#: ITU-T H.273, table 2; 5 is PAL television, 6 and 7 are NTSC, 22 is EBU's monitors
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
#: cameras of BT.709, BT.601 and BT.2020; their values are meant for a display of gamma 2.4 (BT.1886)
VIDEO: Final = frozenset({1, 6, 14, 15})
BT1886: Final = Curve(2.4)
#: ITU-T H.273, table 3, without those, PQ (16) and HLG (18)
CURVES: Final = {
    4: Curve(2.2),
    5: Curve(2.8),
    7: Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 0.25, 0.0912),
    8: Curve(1.0),
    13: SRGB_CURVE,
    17: Curve(2.6, (52.37 / 48) ** (1 / 2.6)),
}
USUAL_GAMMA: Final = 0.45455  # gAMA of pictures made for sRGB
CLOSE: Final = 0.0005  # difference of gammas taken for equal


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A colour space; sRGB unless something else is known."""

    #: ICC profile of the source
    icc: bytes | None = None
    #: of a space given by numbers
    primaries: Primaries = BT709
    curve: Curve = SRGB_CURVE
    #: PQ or HLG: brighter than the formats written here can express
    hdr: int | None = None

    def profile(self, mode: str) -> bytes | None:
        """Return the ICC profile for a mode of Pillow's; None for sRGB and for HDR, which is tone-mapped."""
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
    """Return the space; if a source states several, the most exact one counts."""
    icc = without_padding(image.info.get("icc_profile") or b"") or None
    if kind is Format.PNG:
        stated = png.colours(data)
        if stated.cicp and (space := _of_cicp(*stated.cicp)):
            return space
        if open_profile(icc):
            return Space(icc=icc)
        return Space() if stated.srgb else _of_gamma(stated)
    if kind in (Format.AVIF, Format.HEIF) and not icc and (numbers := boxes.nclx(data)):
        return _of_nclx(*numbers)
    return Space(icc=icc)


def _of_cicp(primaries: int, transfer: int) -> Space | None:
    """Return the space; None if one of both numbers is unknown, so that another statement counts."""
    where = PRIMARIES.get(primaries)
    if where is None:
        return None
    if transfer in (PQ, HLG):
        return Space(primaries=where, hdr=transfer)
    curve = BT1886 if transfer in VIDEO else CURVES.get(transfer)
    return Space(primaries=where, curve=curve) if curve else None


def _of_nclx(primaries: int, transfer: int) -> Space:
    """Return the space; browsers use sRGB's curve for an unknown one and for video's."""
    where = PRIMARIES.get(primaries, BT709)
    if transfer in (PQ, HLG):
        return Space(primaries=where, hdr=transfer)
    return Space(primaries=where, curve=CURVES.get(transfer, SRGB_CURVE))


def _of_gamma(stated: png.Colours) -> Space:
    """Return the space; chromaticities count only beside a gamma, and beside them 0.45455 is not sRGB."""
    if stated.gamma is None:
        return Space()
    if stated.chromaticities is None:
        usual = abs(stated.gamma - USUAL_GAMMA) < CLOSE
        return Space() if usual else Space(curve=Curve(1 / stated.gamma))
    white, red, green, blue = zip(stated.chromaticities[::2], stated.chromaticities[1::2], strict=True)
    space = Space(primaries=Primaries(red, green, blue, white), curve=Curve(1 / stated.gamma))
    try:
        rgb_profile(space.primaries, space.curve)
    except ValueError:
        return Space()
    return space
