"""Tone-map HDR (PQ and HLG) to sRGB as Chromium does.

Values are light relative to reference white, 203 cd/m² (ITU-R BT.2408). The curve is the reference-white tone
mapping of SMPTE ST 2094-50 for content of 1000 cd/m²: reference white becomes half as bright, and brighter
light is compressed into the rest along a parabola. All channels are scaled alike, which keeps hues.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from resizer.compress.codec.profiles import BT709, Primaries, to_d50

Values = npt.NDArray[np.float64]

PQ, HLG = 16, 18  # numbers of ITU-T H.273
WHITE: Final = 203.0  # cd/m²
PEAK: Final = 1000.0 / WHITE  # of content that does not state its own; HLG's nominal peak
DIMMED: Final = 0.5  # reference white in the result
BEND: Final = 0.65  # position of the parabola's middle point along the straight line
BT2020: Final = Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
LUMINANCE: Final = np.array([0.2627, 0.6780, 0.0593])  # of BT.2020
HLG_SYSTEM_GAMMA: Final = 1.2
SRGB_START: Final = 0.0031308  # linear; below it sRGB is a straight line
HLG_START: Final = 0.5  # encoded; above it HLG is logarithmic
NODES: Final = 65  # of the table on each side; Pillow's maximum


def to_sdr(image: Image.Image, primaries: Primaries, transfer: int) -> Image.Image:
    """Return an RGB or RGBA image in sRGB; its transparency is unchanged."""
    return image.filter(_table(primaries, transfer))


@cache
def _table(primaries: Primaries, transfer: int) -> ImageFilter.Color3DLUT:
    # Pillow interpolates between nodes in PQ or HLG, in which equal steps look equal.
    steps = np.linspace(0, 1, NODES)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    shown = _shown(np.stack([red, green, blue], -1).reshape(-1, 3), primaries, transfer)
    return ImageFilter.Color3DLUT(NODES, shown.astype(np.float32).flatten())


def _shown(encoded: Values, primaries: Primaries, transfer: int) -> Values:
    """Return sRGB values from 0 to 1, one row per colour."""
    light = _from_pq(encoded) if transfer == PQ else _from_hlg(encoded)
    light = light @ _between(primaries, BT2020).T
    if transfer == HLG:
        luminance = np.maximum(light @ LUMINANCE, 0)[:, None]
        light = light * luminance ** (HLG_SYSTEM_GAMMA - 1) * PEAK
    most = light.max(-1, keepdims=True)
    light = light * (_curve(most) / np.maximum(most, 1e-9))
    light = np.clip(light @ _between(BT2020, BT709).T, 0, 1)
    values: Values = np.where(light <= SRGB_START, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return values


def _between(source: Primaries, target: Primaries) -> Values:
    return np.linalg.inv(to_d50(target)) @ to_d50(source)


def _curve(light: Values) -> Values:
    steps = np.linspace(0, 1, 500)
    middle = 1 + BEND * (1 / DIMMED - 1)
    first, second, third = (1 - steps) ** 2, 2 * steps * (1 - steps), steps**2
    x = first + second * middle + third * PEAK
    y = first * DIMMED + second * middle * DIMMED + third
    return np.where(light <= 1, DIMMED * light, np.interp(light, x, y))


def _from_pq(encoded: Values) -> Values:
    """Invert the curve of SMPTE ST 2084."""
    root = encoded ** (32 / 2523)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    values: Values = 10_000 / WHITE * light ** (16384 / 2610)
    return values


def _from_hlg(encoded: Values) -> Values:
    """Invert the camera curve of ITU-R BT.2100."""
    low, high = encoded**2 / 3, (np.exp((encoded - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(encoded <= HLG_START, low, high)
