"""Compare a picture with its original: by ssimulacra2, and by butteraugli if it is installed."""

import re
import shutil
import subprocess
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from ssimulacra2 import compute_ssimulacra2

#: of libjxl; Debian has it in libjxl-devtools
BUTTERAUGLI: Final = shutil.which("butteraugli_main")
GROUNDS: Final = (255, 128, 0)
NORM: Final = re.compile(r"3-norm: ([\d.]+)")


def ssimulacra2(original: Image.Image, other: Image.Image) -> float:
    """Return the score, 100 at best; of transparent pictures the least on white, grey and black."""
    return min(
        float(compute_ssimulacra2(BytesIO(_png(one)), BytesIO(_png(two))))
        for one, two in _on_grounds(original, other)
    )


def butteraugli(original: Image.Image, other: Image.Image) -> float | None:
    """Return the distance (3-norm), 0 at best; the most on any ground, None without its program."""
    if BUTTERAUGLI is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return max(_distance(Path(folder), *pair) for pair in _on_grounds(original, other))


def _distance(folder: Path, original: Image.Image, other: Image.Image) -> float:
    paths = [folder / "original.png", folder / "other.png"]
    for path, picture in zip(paths, (original, other), strict=True):
        path.write_bytes(_png(picture))
    command = [str(BUTTERAUGLI), *map(str, paths), "--pnorm", "3"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = NORM.search(said)
    assert found, said
    return float(found[1])


def _on_grounds(original: Image.Image, other: Image.Image) -> list[tuple[Image.Image, Image.Image]]:
    if original.mode != "RGBA":
        return [(original.convert("RGB"), other.convert("RGB"))]
    return [(on_ground(original, grey), on_ground(other, grey)) for grey in GROUNDS]


def on_ground(picture: Image.Image, grey: int) -> Image.Image:
    ground = Image.new("RGBA", picture.size, (grey, grey, grey, 255))
    ground.alpha_composite(picture.convert("RGBA"))
    return ground.convert("RGB")


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
