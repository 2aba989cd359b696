"""Write pages of crops, before and after, at three times their size, for visual comparison."""

from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from benchmarks.metrics import GROUNDS, on_ground
from benchmarks.samples import as_jpeg
from resizer.compress.codec import compress
from resizer.recipe import Effort, OutputFormat, Recipe

SIDE: Final = 110  # pixels of a crop
TIMES: Final = 3
LABEL: Final = 14  # pixels above a crop
QUALITY: Final = 50
MOST_PIXELS: Final = 10**8


def write(folder: Path, photos: dict[str, Image.Image], cut: dict[str, Image.Image]) -> None:
    """Write a PNG per format with a row per picture: source, plain Pillow, each effort."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("jpeg", "webp", "avif"):
        rows = [_row(name, picture, as_jpeg(picture), kind) for name, picture in photos.items()]
        _page(rows).save(folder / f"{kind}.png")
    rows = []
    for name, picture in cut.items():
        buffer = BytesIO()
        picture.save(buffer, "PNG")
        versions = _row(name, picture, buffer.getvalue(), "png")
        rows += [[(label, on_ground(each, grey)) for label, each in versions] for grey in GROUNDS]
    _page(rows).save(folder / "png.png")
    print(f"\ncrops are in {folder}", flush=True)


def _row(name: str, picture: Image.Image, data: bytes, kind: str) -> list[tuple[str, Image.Image]]:
    versions = [(name, data), ("plain", _plain(data, kind))]
    for effort in Effort:
        recipe = Recipe(quality=QUALITY, format=OutputFormat(kind), effort=effort)
        versions.append((effort, compress(data, recipe=recipe, max_pixels=MOST_PIXELS).data))
    box = _busiest(picture)
    mode = picture.mode
    return [
        (f"{label} {len(each) / 1000:.1f} kB", Image.open(BytesIO(each)).convert(mode).crop(box))
        for label, each in versions
    ]


def _plain(data: bytes, kind: str) -> bytes:
    buffer = BytesIO()
    image: Image.Image = Image.open(BytesIO(data))
    if kind == "png":
        image = image.quantize(256, Image.Quantize.FASTOCTREE)
    image.save(buffer, kind.upper(), quality=QUALITY)
    return buffer.getvalue()


def _busiest(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return a crop right of the centre and slightly below it, at the edge of most products."""
    left = min(picture.width - SIDE, round(picture.width * 0.6))
    top = min(picture.height - SIDE, round(picture.height * 0.55))
    return max(0, left), max(0, top), max(0, left) + SIDE, max(0, top) + SIDE


def _page(rows: list[list[tuple[str, Image.Image]]]) -> Image.Image:
    side = SIDE * TIMES
    page = Image.new("RGB", (max(map(len, rows)) * (side + 4), len(rows) * (side + LABEL + 4)), "white")
    draw = ImageDraw.Draw(page)
    for number, row in enumerate(rows):
        for column, (label, crop) in enumerate(row):
            left, top = column * (side + 4), number * (side + LABEL + 4)
            draw.text((left, top), label, fill="black")
            large = crop.resize((crop.width * TIMES, crop.height * TIMES), Image.Resampling.NEAREST)
            page.paste(large, (left, top + LABEL))
    return page
