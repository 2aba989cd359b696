"""How long an unchanged catalogue takes the second time.

    python -m benchmarks.revalidation [--images 200] [--changed 10] [--corpus FOLDER]

Three uploads of one catalogue in one run: into an empty service, again with nothing changed at the image
host, and once more when a part of the images has changed. Measured is the time from the upload to the final
status. The host is on loopback and answers ETag, Last-Modified and 304: the network saved is left out.
"""

import argparse
import io
import os
import shutil
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.corpus import QUALITY, make_corpus, photo
from benchmarks.serving import catalogue, final, get_json, image_host, service, upload

#: images of the start that is not counted
WARM = 4


def change(path: Path, number: int) -> None:
    """Put another photo of the same size in this place."""
    with Image.open(path) as image:
        width, height = image.size
    buffer = io.BytesIO()
    photo(width, height, seed=10_000_000 + number).save(buffer, "JPEG", quality=QUALITY)
    path.write_bytes(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--changed", type=int, default=10, help="of a hundred, before the third upload")
    parser.add_argument("--corpus", type=Path, help="where the photos are kept for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus = options.corpus or folder / "corpus"
        names = [path.name for path in make_corpus(corpus, options.images)]
        shutil.copytree(corpus, folder / "images")  # the corpus stays as it is
        paths = [folder / "images" / name for name in names]
        size = sum(path.stat().st_size for path in paths)
        print(f"{len(paths)} photos, {size / 1e6:.1f} MB, {os.cpu_count()} cores", flush=True)
        with image_host(folder / "images") as host, service(folder / "service") as url:
            # under other URLs and by another recipe, so that nothing is known of the rest
            warm = catalogue([f"{host}/{name}?warm" for name in names[:WARM]])
            final(upload(url, warm, "?quality=30"))
            data = catalogue([f"{host}/{path.name}" for path in paths])
            get_json(f"{host}/counts")
            seconds = [
                measured("first upload", url, host, data),
                measured("again, unchanged", url, host, data),
            ]
            step = max(1, round(100 / options.changed))
            changed = paths[::step]
            for number, path in enumerate(changed):
                change(path, number)
            seconds.append(measured(f"again, {len(changed)} changed", url, host, data))
        for name, each in (("unchanged", seconds[1]), (f"{len(changed)} changed", seconds[2])):
            print(
                f"{name}: {each / seconds[0]:.3f} of the first's time, {seconds[0] / each:.1f} times as fast"
            )


def measured(name: str, url: str, host: str, data: bytes) -> float:
    """Upload, wait for the end, print a line of the table; returns the seconds."""
    began = time.perf_counter()
    status = final(upload(url, data))
    seconds = time.perf_counter() - began
    counts = get_json(f"{host}/counts")
    print(
        f"{name:22} {seconds:7.2f} s {status['images']['total'] / seconds:8.1f} images/s   "
        f"{status['status']}, host: {counts.get('200', 0)} × 200, {counts.get('304', 0)} × 304",
        flush=True,
    )
    return seconds


if __name__ == "__main__":
    main()
