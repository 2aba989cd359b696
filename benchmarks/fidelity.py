"""Measure bytes, fidelity and CPU time of each effort and format, plain Pillow and other programs.

Fidelity is measured against the pixels of the source. The last column compares bytes at equal fidelity: each
program also runs at a second quality, and the bytes at the ssimulacra2 of plain Pillow are interpolated.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, Final

from PIL import Image

from benchmarks import crops, samples
from benchmarks.metrics import butteraugli, ssimulacra2
from benchmarks.options import Options
from benchmarks.plain import QUALITY
from benchmarks.rivals import Rivals, Way, Written
from benchmarks.tables import Cell, show
from resizer.compress.codec import compress
from resizer.recipe import Effort, OutputFormat, Recipe

ENOUGH_PIXELS: Final = 10**8
TRIES: Final = 2  # the faster one counts
FURTHER: Final = 8  # difference of the second quality
HEADER: Final = ["", "bytes", "CPU", "ssimulacra2", "least", "butteraugli", "bytes at its ssimulacra2"]
NOTE: Final = "bytes and CPU relative to the first line; ssimulacra2 as difference, butteraugli as distance"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    size: int
    seconds: float
    score: float
    distance: float | None
    #: natural logarithm of the bytes at the score of the first way; None if not compared
    fair: float | None


def run(options: Options) -> dict[str, Any]:
    folder = options.corpus / "fidelity"
    folder.mkdir(parents=True, exist_ok=True)
    rivals = Rivals.installed(folder)
    found = samples.photo_set(folder, quick=options.quick)
    if options.images:
        found = dict([*found.items()][-options.images :])
    cut = samples.cut_outs(found if options.quick else dict([*found.items()][2::2]))
    figures = {}
    for kind in ("jpeg", "webp", "avif"):
        sources = {name: samples.as_jpeg(picture) for name, picture in found.items()}
        ways = {**_ours(kind), **_others(kind, rivals)}
        figures[kind] = _compare(f"{kind.upper()}, {len(sources)} photos", sources, ways)
    sources = {name: _png(picture) for name, picture in {**cut, **_opaque(found)}.items()}
    ways = {**_ours("png"), **_others("png", rivals)}
    figures["png"] = _compare(f"PNG, {len(sources)} cut-outs and packshots", sources, ways)
    if options.crops:
        crops.write(options.crops, found, cut)
    return figures


def _opaque(found: dict[str, Image.Image]) -> dict[str, Image.Image]:
    return {name: picture for name, picture in found.items() if name == "drawn product"}


def _ours(kind: str) -> dict[str, Way]:
    plain = {"octree": octree} if kind == "png" else {"plain Pillow": partial(_plain, kind)}
    return {**plain, **{f"effort {effort}": partial(_effort, kind, effort) for effort in Effort}}


def _others(kind: str, rivals: Rivals) -> dict[str, Way]:
    ways: dict[str, Way] = {}
    if kind == "jpeg":
        ways["plain Pillow, optimize"] = partial(_plain, kind, optimize=True)
        if rivals.cjpeg:
            ways["mozjpeg's cjpeg"] = rivals.by_cjpeg
    if kind == "png":
        if rivals.oxipng:
            ways["octree, then oxipng"] = partial(_then_oxipng, rivals)
        if rivals.pngquant:
            ways["pngquant"] = rivals.by_pngquant
    if rivals.sharp:
        special: dict[str, dict[str, object]] = {
            "jpeg": {"mozjpeg": True},
            "png": {"palette": True, "effort": 7},
        }
        ways["sharp"] = rivals.by_sharp(kind, **special.get(kind, {}))
    return ways


def _timed(make: Callable[[], bytes]) -> Written:
    best = math.inf
    data = b""
    for _ in range(TRIES):
        begun = time.process_time()
        data = make()
        best = min(best, time.process_time() - begun)
    return data, best


def _plain(kind: str, data: bytes, quality: int, **options: object) -> Written:
    def make() -> bytes:
        target = BytesIO()
        with Image.open(BytesIO(data)) as image:
            image.save(target, kind.upper(), quality=quality, **options)
        return target.getvalue()

    return _timed(make)


def octree(data: bytes, _quality: int) -> Written:
    """Quantize a PNG with Pillow's octree, as a plain script does."""

    def make() -> bytes:
        with Image.open(BytesIO(data)) as image:
            return _png(image.quantize(256, Image.Quantize.FASTOCTREE))

    return _timed(make)


def _then_oxipng(rivals: Rivals, data: bytes, quality: int) -> Written:
    reduced, seconds = octree(data, quality)
    made, more = rivals.by_oxipng(reduced)
    return made, seconds + more


def _effort(kind: str, effort: Effort, data: bytes, quality: int) -> Written:
    return _timed(lambda: compressed(kind, effort, data, quality))


def compressed(kind: str, effort: Effort, data: bytes, quality: int) -> bytes:
    recipe = Recipe(quality=quality, format=OutputFormat(kind), effort=effort)
    return compress(data, recipe=recipe, max_pixels=ENOUGH_PIXELS).data


def _compare(title: str, sources: dict[str, bytes], ways: dict[str, Way]) -> dict[str, Any]:
    """Measure each way with each picture and print the table; returns its figures."""
    fair = "PNG" not in title
    results: dict[str, list[Measured]] = {name: [] for name in ways}
    for data in sources.values():
        original = opened(data)
        aim = None
        for name, way in ways.items():
            measured = _measure(original, data, way, aim if fair else None)
            if aim is None:
                aim = measured.score
            results[name].append(measured)
    first = next(iter(results.values()))
    rows = {name: _row(first, mine) for name, mine in results.items()}
    show(f"{title}, quality {QUALITY}; {NOTE}", HEADER, [[name, *row] for name, row in rows.items()])
    return {name: dict(zip(HEADER[1:], row, strict=True)) for name, row in rows.items()}


def _measure(original: Image.Image, data: bytes, way: Way, aim: float | None) -> Measured:
    made, seconds = way(data, QUALITY)
    result = opened(made)
    score = ssimulacra2(original, result)
    fair = None
    if aim is not None:
        further = QUALITY + (FURTHER if score < aim else -FURTHER)
        other = way(data, further)[0]
        slope = (math.log(len(other)) - math.log(len(made))) / (
            (ssimulacra2(original, opened(other)) - score) or 1
        )
        fair = math.log(len(made)) + slope * (aim - score)
    return Measured(
        size=len(made), seconds=seconds, score=score, distance=butteraugli(original, result), fair=fair
    )


def _row(first: list[Measured], mine: list[Measured]) -> list[Cell]:
    pairs = list(zip(first, mine, strict=True))
    scores = [other.score - one.score for one, other in pairs]
    distances = [other.distance for other in mine if other.distance is not None]
    fair = [other.fair - math.log(one.size) for one, other in pairs if other.fair is not None]
    return [
        _mean(other.size / one.size for one, other in pairs),
        sum(other.seconds for other in mine) / sum(one.seconds for one in first),
        f"{statistics.median(scores):+.1f}",
        f"{min(scores):+.1f}",
        statistics.median(distances) if distances else None,
        math.exp(statistics.mean(fair)) if fair else None,
    ]


def _mean(ratios: Iterable[float]) -> float:
    return statistics.geometric_mean(ratios)


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    # a palette image may be transparent, too
    return image.convert("RGBA" if image.mode == "RGBA" or "transparency" in image.info else "RGB")


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
