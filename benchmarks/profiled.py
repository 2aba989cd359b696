"""Run `resizer` with a profiler on its event loop: `python -m benchmarks.profiled FOLDER serve …`.

SIGUSR1 starts the profiler; SIGUSR2 stops it and writes FOLDER/loop.prof (cProfile, CPU time of that thread)
and FOLDER/threads.json (CPU time of each thread by name, in ms).
"""

import cProfile
import json
import signal
import sys
import threading
import time
from pathlib import Path

from resizer.cli import main


def threads_ms() -> dict[int, tuple[str, float]]:
    """Return the name and CPU time of each thread, by its id."""
    return {
        thread.ident: (
            thread.name,
            1000 * time.clock_gettime(time.pthread_getcpuclockid(thread.ident)),
        )
        for thread in threading.enumerate()
        if thread.ident is not None
    }


def write(path: Path, text: str) -> None:
    """Write a file, complete or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def prepare(folder: Path) -> None:
    # CPU time: by wall time, waits for a core would count, which the compressing processes occupy
    profile = cProfile.Profile(time.thread_time)
    before: dict[int, tuple[str, float]] = {}

    def begin(*_: object) -> None:
        before.update(threads_ms())
        profile.enable()

    def end(*_: object) -> None:
        profile.disable()
        taken: dict[str, float] = {}
        for ident, (name, ms) in threads_ms().items():
            taken[name] = taken.get(name, 0) + ms - before.get(ident, (name, 0))[1]
        profile.dump_stats(folder / "loop.prof")
        write(folder / "threads.json", json.dumps(taken))

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)


if __name__ == "__main__":
    prepare(Path(sys.argv.pop(1)))
    main()
