"""Compare plain Pillow, the codec alone and the whole service on the same files, in rounds of one run each.

(a) plain Pillow (open, exif_transpose, save), (o) the same with `optimize=True`, and (b) the codec in the
pool's child processes read and write files in the same simple loop, with one process per core. (c) is the
service from the upload to the final status, with default settings except `--effort`; its images come from a
host on loopback. Before the first round, all processes have compressed a few images. In each round, the image
host inserts a different comment into each image (see `origin`), as the service compresses the same bytes only
once.
"""

import statistics
from typing import Any

from benchmarks import profiling
from benchmarks.corpus import Corpus, jpeg_corpus, mixed_corpus
from benchmarks.options import Options
from benchmarks.processes import MIB
from benchmarks.tables import Cell, show
from benchmarks.ways import TITLES, Run, figures_of, measured, ratios

ROLES = ("server", "pool", "origin")


def run(options: Options) -> dict[str, Any]:
    count = options.count(200, 12)
    corpora = [make(options.corpus, count, small=options.quick) for make in (jpeg_corpus, mixed_corpus)]
    figures = {corpus.name: measure(corpus, options.rounds) for corpus in corpora}
    if options.profile:
        for corpus in corpora:
            figures[corpus.name]["profile"] = profiling.run(corpus)
    return figures


def measure(corpus: Corpus, rounds: int) -> dict[str, Any]:
    runs, memory = measured(corpus, rounds)
    print_tables(corpus, runs, memory)
    return figures_of(corpus, runs, memory)


def print_tables(corpus: Corpus, runs: dict[str, list[Run]], memory: dict[str, float]) -> None:
    count = len(next(iter(runs.values())))
    show(
        f"{len(corpus.paths)} images ({corpus.name}), {corpus.size / MIB:.1f} MiB; medians of {count} rounds",
        [
            "",
            "images/s",
            "CPU-ms an image",
            "server",
            "pool",
            "image host",
            "stolen %",
            "peak MiB",
            "MiB out",
        ],
        [[TITLES[name], *row_of(mine), memory[name], mine[0].bytes_out / MIB] for name, mine in runs.items()],
    )
    show(
        "Ratios, medians over the rounds; above 1, the first is faster",
        ["", "images/s", "least", "most", "images per CPU second"],
        [[name, *ratio.values()] for name, ratio in ratios(runs).items()],
    )


def row_of(runs: list[Run]) -> list[Cell]:
    cpu: list[Cell] = [
        statistics.median(each.cpu_ms[role] for each in runs) if role in runs[0].cpu_ms else None
        for role in ROLES
    ]
    return [
        statistics.median(each.images_per_second for each in runs),
        statistics.median(each.own_cpu_ms for each in runs),
        *cpu,
        statistics.median(each.stolen_percent for each in runs),
    ]
