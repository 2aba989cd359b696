"""Profile the server process by function and thread."""

import json
import os
import pstats
import re
import signal
import tempfile
import time
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.origin import origin
from benchmarks.serving import service
from benchmarks.tables import show
from benchmarks.ways import WARM, urls_of

MOST = 30  # functions in a table
LOOK = 0.05  # seconds between two checks for the profile
NUMBER = re.compile(r"[-_ ]?\d+")
WAITING = "<method 'poll' of 'select.epoll' objects>"

#: file, line, name
Function = tuple[str, int, str]


def run(corpus: Corpus) -> dict[str, Any]:
    """Run the service on the corpus under a profiler; prints and returns ms per image."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        origin(corpus.paths) as host,
        service(Path(temporary) / "service", module="benchmarks.profiled", arguments=[temporary]) as server,
    ):
        folder = Path(temporary)
        server.compress(urls_of(corpus.paths[:WARM], host, "warm"))
        os.kill(server.pid, signal.SIGUSR1)
        server.compress(urls_of(corpus.paths, host, "profiled"))
        os.kill(server.pid, signal.SIGUSR2)
        while not (folder / "threads.json").exists():
            time.sleep(LOOK)
        threads: dict[str, float] = json.loads((folder / "threads.json").read_text())
        functions: dict[Function, Any] = vars(pstats.Stats(str(folder / "loop.prof")))["stats"]
    return reported(corpus, threads, functions)


def reported(corpus: Corpus, threads: dict[str, float], functions: dict[Function, Any]) -> dict[str, Any]:
    images = len(corpus.paths)
    own, cumulative, rooms = Counter[str](), Counter[str](), Counter[str]()
    calls: Counter[str] = Counter()
    for function, (_, count, seconds, all_seconds, _) in functions.items():
        name = called(function)
        own[name] += 1000 * seconds / images
        cumulative[name] += 1000 * all_seconds / images
        calls[name] += count / images
        rooms[room(function)] += 1000 * seconds / images
    by_thread: dict[str, float] = {}
    for name, ms in threads.items():
        family = NUMBER.sub("", name)
        by_thread[family] = by_thread.get(family, 0) + ms / images
    title = f"{images} images ({corpus.name}) under the profiler, which slows calls down; ms per image"
    show(
        f"{title}\n\nby thread", ["thread", "ms"], sorted(by_thread.items(), key=itemgetter(1), reverse=True)
    )
    show("thread of the event loop, own time by package", ["package", "ms"], rooms.most_common(MOST))
    header = ["function", "own ms", "cumulative ms", "calls"]
    show(
        "the same, by function",
        header,
        [[name, ms, cumulative[name], calls[name]] for name, ms in own.most_common(MOST)],
    )
    show(
        "the same, by cumulative time",
        header,
        [[name, own[name], ms, calls[name]] for name, ms in cumulative.most_common(MOST)],
    )
    return {"threads": by_thread, "packages": rooms, "own": own, "cumulative": cumulative, "calls": calls}


def called(function: Function) -> str:
    path, line, name = function
    if path == "~":
        return "waiting (epoll)" if name == WAITING else name
    return f"{module_of(path)}:{line} {name}"


def room(function: Function) -> str:
    """Return the package of a function, with the subpackage for this project, asyncio and aiohttp."""
    path, _, _ = function
    if path == "~":
        return "built in"
    parts = module_of(path).split(".")
    return ".".join(parts[:2] if parts[0] in {"resizer", "asyncio", "aiohttp"} else parts[:1])


def module_of(path: str) -> str:
    """Return the name of the module in a file."""
    parts = list(Path(path).with_suffix("").parts)
    for home in ("site-packages", Path(os.__file__).parent.name):
        if home in parts:
            return ".".join(parts[parts.index(home) + 1 :])
    if "resizer" in parts:
        return ".".join(parts[parts.index("resizer") :])
    return ".".join(parts[-2:])
