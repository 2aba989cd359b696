"""Restore in a palette what quantisers blur: full and no transparency, and the colours of flat areas.

They give each pixel the nearest entry, and an entry the mean of its pixels. Opaque pixels become translucent
and clear ones a veil, which shows on another background; white around a product is no longer white.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from resizer.compress.codec.pixels import OPAQUE, PALETTE

CLEAR: Final = 0
NEAR: Final = 4  # steps of alpha that are not seen: an entry so near to 0 or 255 may be moved there
SAMPLES: Final = 1 << 16  # pixels searched for flat colours
FLAT: Final = 0.01  # share of the samples that makes a colour flat
BLOCK: Final = 1 << 14  # colours compared with all entries at once; takes 16 MiB

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def restore_exact(image: Image.Image, reduced: Image.Image) -> Image.Image:
    """Return `reduced`, made of an RGB or RGBA image, exact wherever that is flat, clear or opaque."""
    colours = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
    palette = _Palette.of(reduced)
    palette.set_flat(colours)
    if image.mode == "RGBA":
        for end in (CLEAR, OPAQUE):
            where = colours[..., 3] == end
            if where.any():
                palette.set_end(end, where, colours)
    result = Image.frombytes("P", image.size, palette.numbers.tobytes())
    if image.mode == "RGBA":
        result.putpalette(palette.entries.tobytes(), "RGBA")
    else:
        result.putpalette(palette.entries[:, :3].tobytes())
    return result


@dataclass
class _Palette:
    #: number of each pixel's entry; height × width
    numbers: Bytes
    #: RGBA
    entries: Bytes

    @classmethod
    def of(cls, image: Image.Image) -> Self:
        image.apply_transparency()
        numbers = np.array(image)
        entries = np.array(image.getpalette("RGBA"), np.uint8).reshape(-1, 4)
        return cls(numbers, entries[: int(numbers.max()) + 1])

    def set_flat(self, colours: Bytes) -> None:
        """Set entries used mostly for one flat colour to that colour."""
        step = max(1, self.numbers.size // SAMPLES)
        numbers = self.numbers.ravel()[::step]
        sample = colours.reshape(-1, 4).view(np.uint32)[::step, 0]
        found, counts = np.unique(sample, return_counts=True)
        uses = np.bincount(numbers, minlength=len(self.entries))
        for colour in found[counts > FLAT * len(sample)]:
            mine = np.bincount(numbers[sample == colour])
            entry = int(mine.argmax())
            if 2 * mine[entry] > uses[entry]:
                self.entries[entry] = np.array([colour], np.uint32).view(np.uint8)

    def set_end(self, end: int, where: Flags, colours: Bytes) -> None:
        """Give the pixels at `where` entries of exactly this alpha, 0 or 255."""
        count = len(self.entries)
        mine = np.bincount(self.numbers[where], minlength=count)
        others = np.bincount(self.numbers[~where], minlength=count)
        alpha = self.entries[:, 3].astype(np.int16)
        near = abs(alpha - end) <= NEAR
        other_end = alpha == OPAQUE - end
        self.entries[(mine > 0) & (near | (mine >= others)) & ~other_end, 3] = end
        wrong = where & (self.entries[:, 3] != end)[self.numbers]
        if not wrong.any():
            return
        colours = colours[wrong]
        if not (self.entries[:, 3] == end).any():
            self._add(np.array([*colours[:, :3].mean(axis=0).round(), end]))
        choice = np.flatnonzero(self.entries[:, 3] == end)
        if end == CLEAR:
            self.numbers[wrong] = choice[0]
        else:
            self.numbers[wrong] = choice[_nearest(colours[:, :3], self.entries[choice, :3])]

    def _add(self, entry: npt.NDArray[np.float64]) -> None:
        """Add an entry; in a full palette it replaces the one that is used least."""
        if len(self.entries) < PALETTE:
            self.entries = np.vstack([self.entries, entry.astype(np.uint8)])
            return
        # Entries of alpha 0 or 255 stay.
        uses = np.bincount(self.numbers.ravel(), minlength=PALETTE)
        between = (self.entries[:, 3] != CLEAR) & (self.entries[:, 3] != OPAQUE)
        least = int(np.where(between, uses, uses.sum() + 1).argmin())
        rest = np.delete(np.arange(PALETTE), least)
        nearest = _nearest(self.entries[[least]], self.entries[rest])[0]
        self.numbers[self.numbers == least] = rest[nearest]
        self.entries[least] = entry


def _nearest(colours: Bytes, entries: Bytes) -> npt.NDArray[np.intp]:
    """Return for each colour the number of the entry nearest to it."""
    # |c−e|² = |c|² − 2(c·e − |e|²/2), and |c|² is the same for all entries
    table = entries.astype(np.float32)
    half = (table * table).sum(axis=1) / 2
    found = np.empty(len(colours), np.intp)
    for at in range(0, len(colours), BLOCK):
        block = slice(at, at + BLOCK)
        # Not by @, whose library starts threads.
        products = np.einsum("ij,kj->ik", colours[block].astype(np.float32), table)
        found[block] = (half - products).argmin(axis=1)
    return found
