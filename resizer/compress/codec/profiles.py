"""Build the ICC profile of an RGB or grey space: ICC.1:2022, a matrix and a curve (annex F.3).

Sources name their space by numbers (cICP, nclx) or by chromaticities and a gamma (cHRM, gAMA). All of these
become ICC profiles, which every browser and every format written here supports.
"""

import struct
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Point = tuple[float, float]

D50: Final = (0.9642, 1.0, 0.8249)  # ICC's white; XYZ
D65: Final = (0.3127, 0.3290)
#: matrix of the Bradford transform to cone responses, as ICC prescribes (annex E)
BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]], dtype=np.float64
)
VERSION: Final = 0x04400000
CREATED: Final = (2024, 1, 1, 0, 0, 0)  # constant, so that the same image gives the same bytes
TEXT: Final = "resizer"
#: chromaticities that differ by less are equal; cHRM has five digits, writers use three
SAME: Final = 0.0005


@dataclass(frozen=True, slots=True)
class Primaries:
    """Chromaticities x, y of red, green, blue and white."""

    red: Point
    green: Point
    blue: Point
    white: Point = D65

    def equals(self, other: "Primaries") -> bool:
        pairs = zip(self.points, other.points, strict=True)
        return all(abs(one - two) < SAME for a, b in pairs for one, two in zip(a, b, strict=True))

    @property
    def points(self) -> tuple[Point, Point, Point, Point]:
        return self.red, self.green, self.blue, self.white

    def to_xyz(self) -> Matrix:
        """Return the matrix from linear RGB to XYZ. Raises `ValueError` if there is none."""
        columns = np.array([_xyz(point) for point in self.points[:3]]).T
        try:
            shares = np.linalg.solve(columns, _xyz(self.white))
        except np.linalg.LinAlgError as error:
            raise ValueError("primaries on one line") from error
        return columns * shares


@dataclass(frozen=True, slots=True)
class Curve:
    """From encoded to linear values: (a·x + b)^gamma from `start` on, c·x below."""

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    start: float = 0.0


BT709: Final = Primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
SRGB_CURVE: Final = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def rgb_profile(primaries: Primaries, curve: Curve) -> bytes:
    """Return the profile. Raises `ValueError` for primaries that span no area."""
    white = _xyz(primaries.white)
    chad = _adaptation(white)
    columns = (chad @ primaries.to_xyz()).T
    tags = {b"chad": b"sf32" + bytes(4) + _fixed(*chad.flatten())}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True):
        tags[name] = _xyz_tag(column)
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve_tag(curve)))


def grey_profile(curve: Curve) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve_tag(curve)})


@cache
def to_d50(primaries: Primaries) -> Matrix:
    """Return the matrix from linear RGB to XYZ under D50, the space that connects ICC profiles."""
    matrix: Matrix = _adaptation(_xyz(primaries.white)) @ primaries.to_xyz()
    return matrix


def _xyz(point: Point) -> Matrix:
    x, y = point
    if y <= 0:
        raise ValueError("a chromaticity without light")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(white: Matrix) -> Matrix:
    """Return the matrix that adapts colours from this white to D50."""
    cones = BRADFORD @ white
    if not (cones > 0).all():
        raise ValueError("a white point that is not visible")
    return np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ np.array(D50) / cones) @ BRADFORD


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = TEXT.encode("utf-16-be")
    words = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz_tag(np.array(D50)), **tags}
    at = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    table, body = b"", b""
    for name, value in tags.items():
        if value not in places:
            # Tags may share a value.
            places[value] = at + len(body)
            body += value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", places[value], len(value))
    head = struct.pack(
        ">I4sI4s4s4s6H4s", at + len(body), bytes(4), VERSION, b"mntr", space, b"XYZ ", *CREATED, b"acsp"
    )
    head = head.ljust(68, b"\0") + _fixed(*D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz_tag(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*values)


def _curve_tag(curve: Curve) -> bytes:
    if curve == Curve(curve.gamma):
        return b"para" + struct.pack(">IHH", 0, 0, 0) + _fixed(curve.gamma)
    numbers = curve.gamma, curve.a, curve.b, curve.c, curve.start
    return b"para" + struct.pack(">IHH", 0, 3, 0) + _fixed(*numbers)


def _fixed(*values: float) -> bytes:
    """Encode numbers with 16 fractional bits."""
    numbers = [round(float(value) * 65536) for value in values]
    if any(abs(number) >= 2**31 for number in numbers):
        raise ValueError("a number too large for a profile")
    return struct.pack(f">{len(numbers)}i", *numbers)
