"""Generate the images of the benchmarks, the same in every run, and keep them for the next one."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms

from benchmarks import pictures

#: incremented when the same number gives another image
VERSION = 1
#: share, width and height of product photos
PHOTO_SIZES = ((0.45, 800, 800), (0.35, 1600, 1200), (0.20, 3000, 2000))
#: the same for cut-outs and drawings, and for photos that a shop has already reduced
SMALL_SIZES = ((0.5, 600, 600), (0.4, 800, 800), (0.1, 1200, 1200))
WEB_SIZES = ((0.6, 800, 800), (0.4, 1600, 1200))
#: name in the table of `sizes` → width and height
LADDER = {
    "tiny": (64, 64),
    "small": (400, 400),
    "medium": (1200, 900),
    "large": (3000, 2000),
    "huge": (8000, 6000),
}
JPEG_QUALITY, WEBP_QUALITY = 90, 85
#: shares of JPEGs that are rotated by EXIF, that are progressive, and that have a colour profile; the latter
#: are those with the least subsampling, as photo editors write both
TURNED, PROGRESSIVE, WITH_PROFILE = 0.05, 0.10, 0.30
#: share, and Pillow's name of the chroma subsampling
SUBSAMPLING = ((0.80, "4:2:0"), (0.10, "4:2:2"), (0.10, "4:4:4"))
MIX = ((0.60, "jpg"), (0.20, "png"), (0.20, "webp"))
SMALLER = 4  # divisor of each side with `small`
MANY = 20  # missing images from which a process pool generates them
ORIENTATION = 0x0112  # EXIF tag
QUARTER_TURN = 6  # value of the tag: rotate by 90° clockwise
#: irrational step of each property, so that any part of the corpus resembles the whole and no two properties
#: correlate
STEPS = {"mix": 0.7548777, "size": 0.6180340, "turned": 0.4142136, "scans": 0.7320508, "colour": 0.2360680}


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    name: str
    paths: list[Path]

    @property
    def size(self) -> int:
        """Total bytes of the files."""
        return sum(path.stat().st_size for path in self.paths)


def default_folder() -> Path:
    """Return the default of `--corpus`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "resizer-benchmarks"


def jpeg_corpus(folder: Path, count: int, *, small: bool = False) -> Corpus:
    """Return photo-like JPEGs of mixed size, about 400 kB each; `small` ones are generated faster."""
    return _made("jpeg", folder, [("jpg", _jpeg)] * count, small=small)


def mixed_corpus(folder: Path, count: int, *, small: bool = False) -> Corpus:
    """Return JPEG, PNG (half with alpha) and WebP."""
    makers = {"jpg": _jpeg, "png": _png, "webp": _webp}
    kinds = [_pick(MIX, number, "mix")[0] for number in range(count)]
    return _made("mixed", folder, [(kind, makers[kind]) for kind in kinds], small=small)


def ladder(folder: Path, name: str, count: int) -> Corpus:
    """Return JPEGs of one size of `LADDER`."""
    return _made(name, folder, [("jpg", partial(_plain_jpeg, *LADDER[name]))] * count)


def _made(
    name: str, folder: Path, wanted: Sequence[tuple[str, Callable[..., bytes]]], *, small: bool = False
) -> Corpus:
    """Return images with these extensions; missing ones are generated."""
    home = folder / f"v{VERSION}" / (f"{name}-small" if small else name)
    home.mkdir(parents=True, exist_ok=True)
    paths = [home / f"{number:05d}.{extension}" for number, (extension, _) in enumerate(wanted)]
    missing = [
        (path, partial(make, number, SMALLER if small else 1))
        for number, (path, (_, make)) in enumerate(zip(paths, wanted, strict=True))
        if not path.exists()
    ]
    if len(missing) < MANY:
        for each in missing:
            _write(each)
        return Corpus(name=name, paths=paths)
    print(f"generating {len(missing)} images in {home}", flush=True)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_write, missing):
            pass
    return Corpus(name=name, paths=paths)


def _write(wanted: tuple[Path, Callable[[], bytes]]) -> None:
    """Write a file, complete or not at all, even if two runs write the same one."""
    path, make = wanted
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as draft:
        draft.write(make())
    Path(draft.name).replace(path)


def _jpeg(number: int, smaller: int) -> bytes:
    width, height = (side // smaller for side in _pick(PHOTO_SIZES, number, "size"))
    options: dict[str, Any] = {"subsampling": _pick(SUBSAMPLING, number, "colour")[0]}
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    if _place(number, "turned") < TURNED:
        width, height = height, width
        exif[ORIENTATION] = QUARTER_TURN
    if _place(number, "scans") < PROGRESSIVE:
        options["progressive"] = True
    if _place(number, "colour") > 1 - WITH_PROFILE:
        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = pictures.photo(width, height, seed=number)
    return _saved(image, "JPEG", quality=JPEG_QUALITY, exif=exif, **options)


def _png(number: int, smaller: int) -> bytes:
    """Draw a cut-out with alpha, a packshot on white or a chart, in a cycle of four."""
    width, height = (side // smaller for side in _pick(SMALL_SIZES, number, "size"))
    draw = (pictures.cut_out, pictures.packshot, pictures.cut_out, pictures.chart)[number % 4]
    return _saved(draw(width, height, seed=number), "PNG")


def _webp(number: int, smaller: int) -> bytes:
    """Draw a photo or, every fourth time, a cut-out with alpha."""
    width, height = (side // smaller for side in _pick(WEB_SIZES, number, "size"))
    draw = pictures.photo if number % 4 else pictures.cut_out
    # EXIF requires the extended file format, to which the image host can append a chunk
    return _saved(draw(width, height, seed=number), "WEBP", quality=WEBP_QUALITY, exif=Image.Exif().tobytes())


def _plain_jpeg(width: int, height: int, number: int, smaller: int) -> bytes:
    return _saved(
        pictures.photo(width // smaller, height // smaller, seed=number), "JPEG", quality=JPEG_QUALITY
    )


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _place(number: int, what: str) -> float:
    return (number * STEPS[what]) % 1


def _pick(shares: tuple[tuple[Any, ...], ...], number: int, what: str) -> tuple[Any, ...]:
    """Return the values of the share that this number falls into."""
    place = _place(number, what)
    for share, *given in shares:
        if place < share:
            return tuple(given)
        place -= share
    return tuple(shares[-1][1:])
