"""Measure the cost of sending images to workers, and the gain of a second worker.

Three services take the same photos in turn: the local engine with a process for each core, and the
distributed one with one and with two workers of one process each. Then workers that do no work show how
many images a second one server can hand out, what that takes of each process, and how many bytes go
through Redis. SQLite and Redis are asked alone as well.
"""

import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.corpus import jpeg_corpus, ladder
from benchmarks.options import Options
from benchmarks.origin import origin
from benchmarks.processes import descendants
from benchmarks.serving import Service, service, started
from benchmarks.tables import show
from benchmarks.ways import WARM, Run, Way, timed, urls_of

READY = re.compile("takes images")
#: images in flight at most where workers do no work
FLIGHT = "256"
#: commits, and round trips, whose rate is reported
COMMITS = 300
TRIPS = 3000
BOTH_WAYS = ("total_net_input_bytes", "total_net_output_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    port: int
    pid: int

    def variables(self, database: int, **further: str) -> dict[str, str]:
        """Return the settings of a server and its workers; each service has its own database."""
        return {
            "RESIZER_ENGINE__KIND": "celery",
            "RESIZER_ENGINE__BROKER_URL": f"redis://127.0.0.1:{self.port}/{database}",
            **further,
        }

    def client(self, database: int = 0) -> redis.Redis:
        return redis.Redis(port=self.port, db=database)

    def traffic(self) -> int:
        """Return the bytes that have gone in and out."""
        with self.client() as client:
            stats: dict[str, Any] = client.info("stats")
        return sum(int(stats[each]) for each in BOTH_WAYS)


def run(options: Options) -> dict[str, Any]:
    if shutil.which("redis-server") is None:
        raise SystemExit("there is no Redis here: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as running:
        return {
            "photos": photos(options, running, Path(folder)),
            "dispatch": dispatch(options, running, Path(folder)),
            "alone": alone(running, Path(folder)),
        }


def photos(options: Options, running: Broker, folder: Path) -> dict[str, Any]:
    corpus = jpeg_corpus(options.corpus, options.count(100, 6), small=options.quick)
    wide = {"RESIZER_FETCH__PER_HOST": "32"}
    with ExitStack() as stack:
        host = stack.enter_context(origin(corpus.paths))
        ways: dict[str, tuple[Service, Way]] = {}
        for count in range(3):
            variables = running.variables(count, **wide) if count else wide
            at = folder / f"photos-{count}"
            server = stack.enter_context(service(at, variables=variables))
            nodes = [
                stack.enter_context(worker(at, number, variables | {"RESIZER_COMPRESS__PROCESSES": "1"}))
                for number in range(count)
            ]
            server.compress(urls_of(corpus.paths[:WARM], host, "warm"))
            name = f"{count} worker{'s' * (count > 1)}" if count else "local engine"
            ways[name] = (
                server,
                way_of(server, nodes, running, lambda word: urls_of(corpus.paths, host, word)),
            )
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, (_, way) in ways.items():
                runs[name].append(timed(way, f"round-{number}", len(corpus.paths)))
    local = runs["local engine"]
    show(
        f"{len(corpus.paths)} photos; medians of {options.rounds} rounds",
        ["engine", "images/s", "of the local one", *(f"{role} CPU-ms" for role in local[0].cpu_ms)],
        [
            [
                name,
                statistics.median(each.images_per_second for each in mine),
                statistics.median(
                    one.images_per_second / other.images_per_second
                    for one, other in zip(mine, local, strict=True)
                ),
                *(statistics.median(each.cpu_ms[role] for each in mine) for role in local[0].cpu_ms),
            ]
            for name, mine in runs.items()
        ],
    )
    return {name: [asdict(each) for each in mine] for name, mine in runs.items()}


def dispatch(options: Options, running: Broker, folder: Path) -> dict[str, Any]:
    tiny = ladder(options.corpus, "tiny", 1).paths[0]
    images = options.count(2000, 30)
    variables = running.variables(
        5, RESIZER_FETCH__PER_HOST=FLIGHT, RESIZER_QUEUE__WORKERS=FLIGHT, RESIZER_LOG__LEVEL="info"
    )
    at = folder / "dispatch"
    runs: list[Run] = []
    traffic: list[float] = []
    with service(at, variables=variables) as server:
        server.upload(b"S. No.,Product Name,Input Image Urls\r\n1,One,http://127.0.0.1/picture.jpg\r\n")
        size = size_of_task(running)
        with worker(at, 0, variables, module="benchmarks.idle_worker") as node:

            def urls(word: str) -> list[str]:
                return [f"http://127.0.0.1/{tiny.name}?{word}-{number}" for number in range(images)]

            way = way_of(server, [node], running, urls)
            way.run("warm")
            for number in range(options.rounds):
                before = running.traffic()
                runs.append(timed(way, f"round-{number}", images))
                traffic.append((running.traffic() - before) / images)
    figures = {
        "images/s": statistics.median(each.images_per_second for each in runs),
        "ms an image": statistics.median(1000 / each.images_per_second for each in runs),
        **{
            f"{role} CPU-ms": statistics.median(each.cpu_ms[role] for each in runs)
            for role in ("server", "workers", "broker")
        },
        "bytes of a task": float(size),
        "bytes through Redis": statistics.median(traffic),
    }
    show(
        f"Handed to a worker that does no work: {images:,} images, medians of {options.rounds} rounds",
        ["", *figures],
        [["an image", *figures.values()]],
    )
    return {**figures, "runs": [asdict(each) for each in runs]}


def alone(running: Broker, folder: Path) -> dict[str, float]:
    """Ask SQLite for commits as durable as ours, and Redis for answers, one after the other."""
    with closing(sqlite3.connect(folder / "alone.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE outcomes (id INTEGER PRIMARY KEY, text TEXT)")
        began = time.perf_counter()
        for number in range(COMMITS):
            database.execute("INSERT INTO outcomes (text) VALUES (?)", (f"outcome {number}",))
        commits = COMMITS / (time.perf_counter() - began)
    with running.client() as client:
        client.ping()
        began = time.perf_counter()
        for _ in range(TRIPS):
            client.ping()
        trips = TRIPS / (time.perf_counter() - began)
    figures = {"SQLite commits/s": commits, "Redis round trips/s": trips}
    show("Alone, one after the other", [*figures], [[f"{commits:,.0f}", trips]])
    return figures


def way_of(server: Service, nodes: list[int], running: Broker, urls: Any) -> Way:
    def compress(word: str) -> int:
        return int(server.compress(urls(word))["bytes"]["output"])

    roles = {
        "server": lambda: [server.pid],
        "workers": lambda: nodes,
        "pool": lambda: server.pool + [each for node in nodes for each in descendants(node)],
        "broker": lambda: [running.pid],
    }
    return Way(run=compress, roles=roles)


def size_of_task(running: Broker) -> int:
    """Wait for the one task in the queue, and return its bytes."""
    with running.client(5) as client:
        while not (tasks := client.lrange("resizer", 0, 0)):
            time.sleep(0.01)
        return len(tasks[0])


@contextmanager
def worker(at: Path, number: int, variables: dict[str, str], *, module: str = "resizer") -> Iterator[int]:
    """Run a worker beside the server of that folder; yields its pid."""
    arguments = ["-m", module]
    if module == "resizer":
        arguments += ["worker", "--data-dir", str(at / "data")]
    with started(at, arguments, says=READY, variables=variables, log=f"worker-{number}.txt") as (pid, _):
        yield pid


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.05)
            else:
                break
        yield Broker(port=port, pid=process.pid)
    finally:
        process.terminate()
        process.wait()
