"""Compare the ways of `pipeline` on JPEGs of one size each, from tiny to huge."""

import statistics
from typing import Any

from benchmarks.corpus import LADDER, Corpus, ladder
from benchmarks.options import Options
from benchmarks.tables import Cell, show
from benchmarks.ways import figures_of, measured, ratios

#: images per size, for a second or two each, and how many of them differ
IMAGES = {"tiny": 500, "small": 200, "medium": 50, "large": 16, "huge": 4}
DIFFERENT = 8
WAYS = ("(o)", "(b)", "(c)")


def run(options: Options) -> dict[str, Any]:
    figures = {}
    rows: list[list[Cell]] = []
    for name, (width, height) in LADDER.items():
        count = options.count(IMAGES[name], 2)
        some = ladder(options.corpus, name, min(count, DIFFERENT))
        corpus = Corpus(name=name, paths=[some.paths[number % len(some.paths)] for number in range(count)])
        runs, memory = measured(corpus, options.rounds)
        rates = [statistics.median(run.images_per_second for run in mine) for mine in runs.values()]
        cpu = [statistics.median(run.own_cpu_ms for run in mine) for mine in runs.values()]
        ratio = ratios(runs)["c/a"]["images_per_second"]
        average = corpus.size / count / 1000
        rows.append(
            [f"{name}, {width}×{height}", average, *rates, ratio, *cpu, memory["plain"], memory["service"]]
        )
        figures[name] = figures_of(corpus, runs, memory)
    show(
        "JPEGs of one size: (a) plain Pillow, (o) optimizing, (b) codec, (c) service; "
        f"medians of {options.rounds} rounds",
        ["", "kB", "(a) images/s", *WAYS, "c/a", "(a) CPU-ms", *WAYS, "(a) peak MiB", "(c)"],
        rows,
    )
    return figures
