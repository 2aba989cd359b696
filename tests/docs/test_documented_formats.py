"""CSVs and images are processed as documented."""

import csv
import io
import re
from pathlib import Path

import pytest
from documents import ROOT, read
from PIL import Image

import photos
from resizer.catalog import CatalogReader, ResultWriter, Slot
from resizer.compress.codec import compress, heif
from resizer.models import OutputFormat, Recipe

HEIC = ROOT / "tests" / "compress" / "heic"
FORMATS = read(ROOT / "docs" / "formats.md")
ROW = re.compile(r"^\| ([A-Z][\w, ]+) \| (.+) \|$", re.MULTILINE)


def table() -> dict[str, list[str]]:
    """Return the documented output for each input format: kept, and for each requested format."""
    _, _, text = FORMATS.text.partition("## Image processing")
    rows = {}
    for kinds, targets in ROW.findall(text.partition("\n- ")[0]):
        for kind in kinds.split(", "):
            rows[kind] = targets.split(" | ")
    return rows


def test_table_of_formats_is_whole() -> None:
    assert {*table()} == {"JPEG", "PNG", "WebP", "AVIF", "GIF", "BMP", "TIFF", "HEIC"}
    header = next(line for line in FORMATS.text.splitlines() if line.startswith("| in |"))
    assert [cell.strip("` ") for cell in header.strip("|").split("|")[1:]] == list(OutputFormat)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "AVIF", "GIF", "BMP", "TIFF"])
def test_image_becomes_what_the_table_says(kind: str) -> None:
    picture = photos.photo(64, 48)
    clear = picture.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(picture.size))
    for documented, target in zip(table()[kind], OutputFormat, strict=True):
        kept, _, transparent = documented.partition(", or ")
        wanted = kind if kept == "as it is" else kept
        assert _became(photos.encoded(picture, kind.upper()), target) == wanted.lower()
        if transparent == "PNG with transparency" and kind != "BMP":  # Pillow writes none with it
            assert _became(photos.encoded(clear, kind.upper()), target) == "png"
        assert transparent in ("", "PNG with transparency")


@pytest.mark.skipif(not heif.AVAILABLE, reason="needs the extra resizer[heif]")
def test_heic_becomes_what_the_table_says() -> None:
    opaque, clear = ((HEIC / name).read_bytes() for name in ("plain.heic", "alpha.heic"))
    for documented, target in zip(table()["HEIC"], OutputFormat, strict=True):
        wanted, _, transparent = documented.partition(", or ")
        assert _became(opaque, target) == wanted.lower()
        assert _became(clear, target) == ("png" if transparent else wanted.lower())


def _became(data: bytes, target: OutputFormat) -> str:
    return compress(data, recipe=Recipe(quality=50, format=target), max_pixels=10**6).format


def test_result_that_is_shown_is_that_of_the_csv_that_is_shown(tmp_path: Path) -> None:
    given, shown = (block.text for block in FORMATS.blocks() if block.language == "csv")
    source = tmp_path / "a.csv"
    source.write_text(given, encoding="utf-8")
    expected = [*csv.reader(io.StringIO(shown, newline=""))]
    with CatalogReader(source) as catalog:
        products = [*catalog]
        writer = ResultWriter(catalog.header.columns)
        slots = [row[-1].split(",") if row[-1] else [] for row in expected[1:]]
        assert [len(product.urls) for product in products] == [len(each) for each in slots]
        lines = writer.header() + writer.products(
            (product.cells, [Slot(output_url=url) for url in urls])
            for product, urls in zip(products, slots, strict=True)
        )
    assert [*csv.reader(io.StringIO(lines.decode(), newline=""))] == expected
