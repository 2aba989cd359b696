"""The compared ways to compress the same files, and measurements of their runs."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.loops import Loop, codec_loop, plain_loop
from benchmarks.origin import Origin, origin
from benchmarks.processes import Steal, cpu_ms, watched
from benchmarks.serving import Service, service

#: images compressed before the measurement
WARM = 8
#: name → title, in the order of the runs of a round
TITLES = {
    "plain": "(a) plain Pillow",
    "optimized": "(o) the same, optimize=True",
    "codec": "(b) our codec alone",
    "service": "(c) the service",
}
#: name of a ratio → its two ways
RATIOS = {
    "b/a": ("codec", "plain"),
    "c/a": ("service", "plain"),
    "c/o": ("service", "optimized"),
    "c/b": ("service", "codec"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A way to compress all images."""

    #: takes a word that is unique to the run; returns the number of bytes written
    run: Callable[[str], int]
    #: role → pids of its processes
    roles: dict[str, Callable[[], list[int]]]

    def pids(self) -> list[int]:
        """Return the processes whose memory counts."""
        return [pid for role, pids in self.roles.items() if role != "origin" for pid in pids()]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    seconds: float
    images_per_second: float
    #: role of the process → ms per image
    cpu_ms: dict[str, float]
    #: total without that of the image host, in ms per image
    own_cpu_ms: float
    bytes_out: int
    #: CPU time that the hypervisor gave to other machines; some count it as that of the waiting process
    stolen_percent: float


@contextmanager
def all_ways(corpus: Corpus, folder: Path) -> Iterator[dict[str, Way]]:
    """Start every way, and let it compress a few images."""
    with ExitStack() as stack:
        loops = {
            "plain": stack.enter_context(plain_loop()),
            "optimized": stack.enter_context(plain_loop(optimize=True)),
            "codec": stack.enter_context(codec_loop()),
        }
        host = stack.enter_context(origin(corpus.paths))
        server = stack.enter_context(service(folder / "service"))
        found = {name: through(loop, corpus, folder / name) for name, loop in loops.items()}
        found["service"] = served(server, host, corpus)
        for name, loop in loops.items():
            loop.run(corpus.paths[:WARM], folder / name)
        server.compress(urls_of(corpus.paths[:WARM], host, "warm"))
        yield found


def through(loop: Loop, corpus: Corpus, folder: Path) -> Way:
    folder.mkdir()
    return Way(run=lambda _: loop.run(corpus.paths, folder), roles={"pool": lambda: loop.pids})


def served(server: Service, host: Origin, corpus: Corpus) -> Way:
    def run(word: str) -> int:
        status = server.compress(urls_of(corpus.paths, host, word))
        return int(status["bytes"]["output"])

    roles = {"server": lambda: [server.pid], "pool": lambda: server.pool, "origin": lambda: [host.pid]}
    return Way(run=run, roles=roles)


def urls_of(paths: list[Path], host: Origin, word: str) -> list[str]:
    """Return a URL per file, which may occur several times, so that every image is different."""
    return [f"{host.url}/{path.name}?{word}-{number}" for number, path in enumerate(paths)]


def timed(way: Way, word: str, images: int) -> Run:
    pids = {role: find() for role, find in way.roles.items()}
    before = {role: cpu_ms(each) for role, each in pids.items()}
    steal = Steal()
    began = time.perf_counter()
    written = way.run(word)
    seconds = time.perf_counter() - began
    cpu = {role: (cpu_ms(each) - before[role]) / images for role, each in pids.items()}
    return Run(
        seconds=seconds,
        images_per_second=images / seconds,
        cpu_ms=cpu,
        own_cpu_ms=sum(ms for role, ms in cpu.items() if role != "origin"),
        bytes_out=written,
        stolen_percent=steal.percent,
    )


def measured(corpus: Corpus, rounds: int) -> tuple[dict[str, list[Run]], dict[str, float]]:
    """Run all ways in turn, `rounds` times; returns their runs and their peak memory in MiB."""
    runs: dict[str, list[Run]] = {name: [] for name in TITLES}
    with tempfile.TemporaryDirectory() as folder, all_ways(corpus, Path(folder)) as ways:
        for number in range(rounds):
            for name, way in ways.items():
                runs[name].append(timed(way, f"round-{number}", len(corpus.paths)))
            figures = ", ".join(f"{name} {each[-1].images_per_second:.1f}" for name, each in runs.items())
            print(f"{corpus.name}, round {number + 1}, images/s: {figures}", flush=True)
        return runs, peaks(ways)


def figures_of(corpus: Corpus, runs: dict[str, list[Run]], memory: dict[str, float]) -> dict[str, Any]:
    """Return the figures for the JSON."""
    return {
        "images": len(corpus.paths),
        "bytes_in": corpus.size,
        "runs": {name: [asdict(each) for each in mine] for name, mine in runs.items()},
        "peak_mib": memory,
        "ratios": ratios(runs),
    }


def peaks(ways: dict[str, Way]) -> dict[str, float]:
    """Return the peak memory of each way in MiB, from a separate run, as sampling slows it down."""
    found = {}
    for name, way in ways.items():
        with watched(way.pids) as peak:
            way.run("memory")
        found[name] = peak.mib
    return found


def compared(mine: list[Run], theirs: list[Run]) -> dict[str, float]:
    """Return ratios of the runs, as medians over the rounds; above 1, the first is faster."""
    pairs = list(zip(mine, theirs, strict=True))
    by_clock = [one.images_per_second / other.images_per_second for one, other in pairs]
    return {
        "images_per_second": statistics.median(by_clock),
        "least": min(by_clock),
        "most": max(by_clock),
        "images_per_cpu_second": statistics.median(
            other.own_cpu_ms / max(one.own_cpu_ms, 1e-9) for one, other in pairs
        ),
    }


def ratios(runs: dict[str, list[Run]]) -> dict[str, dict[str, float]]:
    return {name: compared(runs[one], runs[other]) for name, (one, other) in RATIOS.items()}
