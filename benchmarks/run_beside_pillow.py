"""`resizer run` over photos of mixed size, beside a plain loop of Pillow over the same files.

    python -m benchmarks.run_beside_pillow [--images 200] [--rounds 3]

The plain loop has no network, no database and no queue: it is the limit of the processor. Both run in as many
processes as there are cores, in turn, so that the machine's drift hits both alike.
"""

import argparse
import csv
import http.server
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.corpus import make_corpus


def compress_plainly(source: Path, folder: Path) -> None:
    with Image.open(source) as image:
        ImageOps.exif_transpose(image).save(folder / source.name, quality=50)


def plain_loop(paths: list[Path], folder: Path) -> float:
    """Return the seconds that plain Pillow takes in one process a core; starting them is not counted."""
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        list(pool.map(abs, range(os.cpu_count() or 1)))
        began = time.perf_counter()
        list(pool.map(partial(compress_plainly, folder=folder), paths, chunksize=4))
        return time.perf_counter() - began


def service_run(catalogue: Path, folder: Path) -> tuple[float, int]:
    """Return the seconds of `resizer run`, its start counted, and the peak memory of its processes in MiB."""
    command = [sys.executable, "-m", "resizer", "run", str(catalogue), "--output", str(folder)]
    variables = os.environ | {"RESIZER_FETCH__ALLOW_NETWORKS": "127.0.0.0/8"}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, sum(map(memory_of, family(process.pid))))

    watching = threading.Thread(target=watch)
    watching.start()
    _, log = process.communicate()
    seconds = time.perf_counter() - began
    done.set()
    watching.join()
    if process.returncode:
        raise SystemExit(log.decode())
    return seconds, peak


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # it has ended
    return found


def memory_of(pid: int) -> int:
    """Return a process's share of memory in MiB, what it shares with others split between them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0  # it has ended
    return next(int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("Pss:"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(folder: Path, port: "multiprocessing.Queue[int]") -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    port.put(server.server_port)
    server.serve_forever()


def write_catalogue(target: Path, address: str, paths: list[Path]) -> None:
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
        writer.writerows(
            [number, path.stem, f"{address}/{path.name}"] for number, path in enumerate(paths, 1)
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = make_corpus(folder / "corpus", options.images)
        size = sum(path.stat().st_size for path in paths)
        ports: multiprocessing.Queue[int] = multiprocessing.Queue()
        origin = multiprocessing.Process(target=serve, args=(folder / "corpus", ports), daemon=True)
        origin.start()
        address = f"http://127.0.0.1:{ports.get()}"
        catalogue, one = folder / "catalogue.csv", folder / "one.csv"
        write_catalogue(catalogue, address, paths)
        write_catalogue(one, address, paths[:1])
        print(f"{len(paths)} photos, {size / 1e6:.1f} MB, {os.cpu_count()} cores")
        plain, service, steady, peaks = [], [], [], []
        for number in range(options.rounds):
            plain.append(len(paths) / plain_loop(paths, folder / f"plain{number}"))
            seconds, peak = service_run(catalogue, folder / f"service{number}")
            start, _ = service_run(one, folder / f"start{number}")
            service.append(len(paths) / seconds)
            steady.append((len(paths) - 1) / (seconds - start))
            peaks.append(peak)
            print(
                f"round {number + 1}: plain {plain[-1]:.1f} images/s, resizer run {service[-1]:.1f} images/s"
            )
            shutil.rmtree(folder / f"plain{number}")
        origin.terminate()
        ratio = statistics.median(mine / theirs for mine, theirs in zip(service, plain, strict=True))
        print(
            f"median: plain {statistics.median(plain):.1f} images/s, resizer run "
            f"{statistics.median(service):.1f} images/s, ratio {ratio:.2f}, peak memory of all its processes "
            f"{max(peaks)} MiB"
        )
        ratio = statistics.median(mine / theirs for mine, theirs in zip(steady, plain, strict=True))
        print(
            f"without its start and end (a run of one photo taken off): "
            f"{statistics.median(steady):.1f} images/s, ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
