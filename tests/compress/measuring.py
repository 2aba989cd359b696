"""What the tests of hostile images run in children; it imports little, so that children are soon ready."""

import os
import re
import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image

from resizer.compress.codec import compress_file
from resizer.compress.codec.pillow import libtiff_silenced
from resizer.containers.formats import Format
from resizer.errors import ImageError
from resizer.models import Recipe

PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
#: pictures behind the first one are not its frames, and are not checked
PAGED = {"TIFF", "MPO"}


def peak(pid: int) -> int:
    """The most memory that a process ever took, in bytes; 0 where it is gone."""
    try:
        found = PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * int(found[1]) if found else 0


def measured(source: str, target: str, *, recipe: Recipe, max_pixels: int) -> tuple[str, str, int]:
    """Compress; returns the outcome, the message, and the peak growth of the process."""
    before = peak(os.getpid())
    try:
        compress_file(source, target, stem="0" * 32, recipe=recipe, max_pixels=max_pixels)
    except ImageError as error:
        return error.code, str(error), peak(os.getpid()) - before
    return "completed", "", peak(os.getpid()) - before


def look_through(path: str) -> tuple[int, str, int, int]:
    """Open a result as anyone would, every frame of it; in a child, since it is made of hostile bytes."""
    data = Path(path).read_bytes()
    with warnings.catch_warnings(), libtiff_silenced(Format.TIFF):
        warnings.simplefilter("ignore")
        # from memory, since Pillow allocates what a chunk of a file claims to contain
        with Image.open(BytesIO(data)) as image:
            size = image.size
            frames = 1 if image.format in PAGED else getattr(image, "n_frames", 1)
            for frame in range(frames):
                image.seek(frame)
                image.load()
            return len(data), str(image.format), *size
