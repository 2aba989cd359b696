"""Measure an unchanged catalogue the second time.

Three uploads of one catalogue in each round: of images that the service has never seen, again with nothing
changed at the image host, and once more when a part of the images has changed. The host is on loopback and
answers ETag, Last-Modified and 304: what the network saves comes on top.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus, jpeg_corpus
from benchmarks.options import Options
from benchmarks.origin import Origin, origin
from benchmarks.processes import cpu_ms
from benchmarks.serving import Service, service
from benchmarks.tables import show
from benchmarks.ways import WARM, urls_of

#: every tenth image changes before the third upload
STEP = 10


def run(options: Options) -> dict[str, Any]:
    corpus = jpeg_corpus(options.corpus, options.count(200, 12), small=options.quick)
    changed = corpus.paths[::STEP]
    uploads: dict[str, list[dict[str, float]]] = {
        name: [] for name in ("first", "unchanged", f"{len(changed)} changed")
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        origin(corpus.paths) as host,
        service(Path(folder)) as server,
    ):
        server.compress(urls_of(corpus.paths[:WARM], host, "warm"))
        for number in range(options.rounds):
            for name, runs in uploads.items():
                if name not in ("first", "unchanged"):
                    for path in changed:
                        host.change(path)
                runs.append(uploaded(server, host, corpus, f"round-{number}"))
    first = uploads["first"]
    show(
        f"The same {len(corpus.paths)} photos again; medians of {options.rounds} rounds",
        ["upload", "s", "images/s", "server CPU-ms an image", "× 200", "× 304", "times as fast"],
        [
            [
                name,
                *(statistics.median(each[figure] for each in runs) for figure in runs[0]),
                statistics.median(
                    one["seconds"] / other["seconds"] for one, other in zip(first, runs, strict=True)
                ),
            ]
            for name, runs in uploads.items()
        ],
    )
    return {"images": len(corpus.paths), "uploads": uploads}


def uploaded(server: Service, host: Origin, corpus: Corpus, word: str) -> dict[str, float]:
    host.counts()
    before = cpu_ms([server.pid])
    began = time.perf_counter()
    server.compress(urls_of(corpus.paths, host, word))
    seconds = time.perf_counter() - began
    images = len(corpus.paths)
    counts = host.counts()
    return {
        "seconds": seconds,
        "images_per_second": images / seconds,
        "server_cpu_ms": (cpu_ms([server.pid]) - before) / images,
        "fetched": counts.get("200", 0),
        "unchanged": counts.get("304", 0),
    }
