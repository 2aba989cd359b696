"""Make the images that are measured with, the same in every run, and keep them for the next."""

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

#: raised when the same number gives another image
VERSION = 1
#: share, width, height: what product photos come in
PHOTO_SIZES = ((0.45, 800, 800), (0.35, 1600, 1200), (0.20, 3000, 2000))
#: the same of what is cut out or drawn, and of what a shop has made smaller itself
SMALL_SIZES = ((0.5, 600, 600), (0.4, 800, 800), (0.1, 1200, 1200))
WEB_SIZES = ((0.6, 800, 800), (0.4, 1600, 1200))
#: names in the table of `sizes`, and width and height
LADDER = {
    "tiny": (64, 64),
    "small": (400, 400),
    "medium": (1200, 900),
    "large": (3000, 2000),
    "huge": (8000, 6000),
}
JPEG_QUALITY, WEBP_QUALITY = 90, 85
#: shares of JPEGs that the camera was turned for, that are progressive, and that carry a colour profile: the
#: last are those of which SUBSAMPLING has left much colour, as programs write them that care for it
TURNED, PROGRESSIVE, WITH_PROFILE = 0.05, 0.10, 0.30
#: share, and Pillow's name for how much colour is left: 4:2:0, 4:2:2, 4:4:4
SUBSAMPLING = ((0.80, "4:2:0"), (0.10, "4:2:2"), (0.10, "4:4:4"))
MIX = ((0.60, "jpg"), (0.20, "png"), (0.20, "webp"))
SMALLER = 4  # times, each side of what is to be quick
MANY = 20  # images that are worth processes of their own to make them
ORIENTATION = 0x0112  # EXIF tag
QUARTER_TURN = 6  # its value: to be turned clockwise
#: each property steps by an irrational number of its own, so that any part of the corpus is like the whole
#: and no two properties go together
STEPS = {"mix": 0.7548777, "size": 0.6180340, "turned": 0.4142136, "scans": 0.7320508, "colour": 0.2360680}


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    name: str
    paths: list[Path]

    @property
    def size(self) -> int:
        """All its bytes."""
        return sum(path.stat().st_size for path in self.paths)


def default_folder() -> Path:
    """Return where images are kept if nothing else is asked for."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "resizer-benchmarks"


def jpeg_corpus(folder: Path, count: int, *, small: bool = False) -> Corpus:
    """Return photo-like JPEGs of mixed size, about 400 kB each; `small` ones are soon made."""
    return _made("jpeg", folder, [("jpg", _jpeg)] * count, small=small)


def mixed_corpus(folder: Path, count: int, *, small: bool = False) -> Corpus:
    """Return JPEG, PNG (half with alpha) and WebP."""
    makers = {"jpg": _jpeg, "png": _png, "webp": _webp}
    kinds = [_pick(MIX, number, "mix")[0] for number in range(count)]
    return _made("mixed", folder, [(kind, makers[kind]) for kind in kinds], small=small)


def ladder(folder: Path, name: str, count: int) -> Corpus:
    """Return JPEGs of one of the sizes of `LADDER`."""
    return _made(name, folder, [("jpg", partial(_plain_jpeg, *LADDER[name]))] * count)


def _made(
    name: str, folder: Path, wanted: Sequence[tuple[str, Callable[..., bytes]]], *, small: bool = False
) -> Corpus:
    """Return images of these extensions; those that are not there are made."""
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
    print(f"making {len(missing)} images in {home}", flush=True)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_write, missing):
            pass
    return Corpus(name=name, paths=paths)


def _write(wanted: tuple[Path, Callable[[], bytes]]) -> None:
    """Make one file; whole or not there, also where two runs make the same."""
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
    """Cut-outs with alpha and, in turn with them, two packshots on white and a drawing."""
    width, height = (side // smaller for side in _pick(SMALL_SIZES, number, "size"))
    draw = (pictures.cut_out, pictures.packshot, pictures.cut_out, pictures.chart)[number % 4]
    return _saved(draw(width, height, seed=number), "PNG")


def _webp(number: int, smaller: int) -> bytes:
    """Photos, and a quarter of them cut-outs with alpha."""
    width, height = (side // smaller for side in _pick(WEB_SIZES, number, "size"))
    draw = pictures.photo if number % 4 else pictures.cut_out
    # its EXIF makes it of the extended kind, to which the image host can add a chunk
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
    """Return what belongs to the share in which this number falls."""
    place = _place(number, what)
    for share, *given in shares:
        if place < share:
            return tuple(given)
        place -= share
    return tuple(shares[-1][1:])
