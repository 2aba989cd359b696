"""Make photo-like JPEGs of mixed size, the same in every run."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: share of the corpus, width, height: what product photos come in
SIZES = ((0.45, 800, 800), (0.35, 1600, 1200), (0.20, 3000, 2000))
QUALITY = 90


def make_corpus(folder: Path, count: int, *, seed: int = 1) -> list[Path]:
    """Write `count` JPEGs into the folder unless they are there; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (width, height) in enumerate(_sizes(count)):
        path = folder / f"{number:05d}.jpg"
        if not path.exists():
            buffer = io.BytesIO()
            photo(width, height, seed=seed * 100_000 + number).save(buffer, "JPEG", quality=QUALITY)
            path.write_bytes(buffer.getvalue())
        paths.append(path)
    return paths


def photo(width: int, height: int, *, seed: int) -> Image.Image:
    """Make a picture whose detail falls off with its frequency as in photos, with a little sensor noise.

    Noise of several octaves, each twice as fine and about half as strong as the one before.
    """
    random = np.random.default_rng(seed)
    total: NDArray[np.float64] = np.zeros((height, width, 3))
    strength, cells = 70.0, 3
    while cells < max(width, height) // 6:
        coarse = random.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        layers = [
            np.asarray(
                Image.fromarray(coarse[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
            )
            for channel in range(3)
        ]
        total += np.stack(layers, axis=-1)
        strength, cells = strength * 0.55, cells * 2
    total += 128 + random.normal(0, 4.0, total.shape)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def _sizes(count: int) -> Iterator[tuple[int, int]]:
    """Spread the sizes evenly, so that any part of the corpus is like the whole."""
    for number in range(count):
        place = (number * 0.618034) % 1
        for share, width, height in SIZES:
            if place < share:
                yield width, height
                break
            place -= share
