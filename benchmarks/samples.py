"""The pictures by which fidelity is judged: photos of several sources, and products cut out of them."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks import pictures
from benchmarks.ceramics import photograph
from benchmarks.pieces import PIECES, Shot

LONGEST: Final = 640  # pixels; a metric looks at a picture for half a second
#: of Debian's mate-backgrounds
NATURE: Final = Path("/usr/share/backgrounds/mate/nature")
NATURE_PHOTOS: Final = ("Blinds", "Garden", "LadyBird", "Wood", "YellowFlower")
#: within the wheel of scikit-image
SCIENCE_PHOTOS: Final = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png")
SHADOW: Final = 0.45  # of black
QUALITY: Final = 92  # of the photos as they come


def photo_set(folder: Path, *, quick: bool) -> dict[str, Image.Image]:
    """Return RGB pictures by name; says which sources there are not."""
    found = {f"drawn {seed}": pictures.photo(LONGEST, LONGEST * 3 // 4, seed=seed) for seed in range(2)}
    found["drawn product"] = pictures.packshot(LONGEST, LONGEST, seed=5)
    if quick:
        return {name: _shrunk(picture, LONGEST // 4) for name, picture in found.items()}
    for number, piece in enumerate(PIECES[:5]):
        found[f"shop {piece.name}"] = Image.open(BytesIO(photograph(Shot(piece=piece, seed=number))))
    found |= {
        f"nature {name}": Image.open(path)
        for name in NATURE_PHOTOS
        if (path := NATURE / f"{name}.jpg").exists()
    }
    found |= _science(folder)
    for source in ("nature", "science"):
        if not any(name.startswith(source) for name in found):
            print(f"no photos of {source}: they cannot be installed here", flush=True)
    return {name: _shrunk(picture, LONGEST) for name, picture in found.items()}


def cut_outs(found: dict[str, Image.Image]) -> dict[str, Image.Image]:
    """Return RGBA pictures by name, half of them with a soft shadow, and one that is all gradients."""
    made = {"gradients": gradients()}
    for number, (name, picture) in enumerate(sorted(found.items())):
        cut = _cut(picture, seed=number, soft=1 + 4 * (number % 3 == 0))
        made[f"{name}, cut out"] = _with_shadow(cut) if number % 2 else cut
    return made


def gradients() -> Image.Image:
    """Grey that changes from left to right, and transparency from the middle outwards."""
    y, x = np.mgrid[:300, :420]
    pixels = np.zeros((300, 420, 4), np.uint8)
    pixels[..., :3] = np.linspace(60, 235, 420)[None, :, None]
    pixels[..., 3] = np.clip(255 - (np.hypot(x - 210, y - 150) - 70) * 2.5, 0, 255)
    return Image.fromarray(pixels)


def as_jpeg(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _science(folder: Path) -> dict[str, Image.Image]:
    if not (wheels := list(folder.glob("scikit_image-*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        command += ["-d", str(folder), "scikit-image"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return {}
        wheels = list(folder.glob("scikit_image-*.whl"))
    found: dict[str, Image.Image] = {}
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in wheel.namelist():
            file = Path(name).name
            if file in SCIENCE_PHOTOS:
                found[f"science {Path(file).stem}"] = Image.open(BytesIO(wheel.read(name)))
    return found


def _shrunk(picture: Image.Image, longest: int) -> Image.Image:
    picture = picture.convert("RGB")
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return picture


def _cut(picture: Image.Image, *, seed: int, soft: float) -> Image.Image:
    random = np.random.default_rng(seed)
    width, height = picture.size
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    reach = 0.4 * min(width, height) * random.uniform(0.75, 1.1, 24)
    outline = [
        (width / 2 + far * float(np.cos(angle)), height / 2 + far * float(np.sin(angle)))
        for angle, far in zip(angles, reach, strict=True)
    ]
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    cut = picture.convert("RGBA")
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(soft)))
    return cut


def _with_shadow(cut: Image.Image) -> Image.Image:
    alpha = cut.getchannel("A").filter(ImageFilter.GaussianBlur(cut.width // 40))
    shadow = Image.new("RGBA", cut.size, (20, 18, 16, 0))
    shadow.putalpha(alpha.point([round(level * SHADOW) for level in range(256)]))
    base = Image.new("RGBA", cut.size, (0, 0, 0, 0))
    base.paste(shadow, (cut.width // 50, cut.width // 35))
    base.alpha_composite(cut)
    return base
