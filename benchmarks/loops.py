"""One simple loop over files in as many processes as cores, for plain Pillow and for our codec alike."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.plain import compress_plainly
from resizer.compress.child import Child, run_calls
from resizer.compress.codec import compress_file
from resizer.compress.memory import memory_limit
from resizer.config import CompressSettings
from resizer.recipe import Effort

CORES = len(os.sched_getaffinity(0))
#: files given to a process at once, so that it never waits for the next; as many as the service gives
IN_HAND = 2
#: the service heeds it, too
EFFORT = "RESIZER_COMPRESS__EFFORT"


@cache
def settings() -> CompressSettings:
    """Return them as shipped, but for the effort that the environment asks for."""
    return CompressSettings(effort=Effort(os.environ.get(EFFORT, Effort.BALANCED)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """Processes that stay, and what each of them does with one file."""

    executors: Sequence[ProcessPoolExecutor]
    pids: list[int]
    #: from one file to another; returns the number of bytes written
    work: Callable[[Path, Path], int]

    def run(self, paths: Iterable[Path], folder: Path) -> int:
        """Compress all files into the folder; returns the number of bytes written."""
        # the same file may come several times
        waiting = ((path, folder / f"{number}{path.suffix}") for number, path in enumerate(paths))
        busy: dict[Future[int], ProcessPoolExecutor] = {}
        written = 0

        def give(executor: ProcessPoolExecutor) -> None:
            if files := next(waiting, None):
                busy[executor.submit(self.work, *files)] = executor

        for executor in [*self.executors] * IN_HAND:
            give(executor)
        while busy:
            for done in wait(busy, return_when=FIRST_COMPLETED).done:
                written += done.result()
                give(busy.pop(done))
        return written


@contextmanager
def plain_loop(*, optimize: bool = False) -> Iterator[Loop]:
    """Plain Pillow; optimizing, it makes JPEGs of the size of ours."""
    executors = [ProcessPoolExecutor(1, mp_context=get_context("spawn")) for _ in range(CORES)]
    try:
        pids = [executor.submit(os.getpid).result() for executor in executors]
        yield Loop(executors=executors, pids=pids, work=partial(compress_plainly, optimize=optimize))
    finally:
        for executor in executors:
            executor.shutdown()


@contextmanager
def codec_loop() -> Iterator[Loop]:
    """Our codec in children that are started as those of the service's pool are."""
    children = [Child.start(memory_limit(settings())) for _ in range(CORES)]
    try:
        yield Loop(
            executors=[child.executor for child in children],
            pids=[child.pid for child in children],
            work=compress_as_service,
        )
    finally:
        for child in children:
            child.end()


def compress_as_service(source: Path, target: Path) -> int:
    call = partial(
        compress_file,
        str(source),
        str(target),
        stem=source.stem,
        recipe=settings().recipe(),
        max_pixels=settings().max_pixels,
    )
    (outcome,), _ = run_calls(1, [call])
    if outcome.error is not None:
        raise outcome.error
    written: int = outcome.result.output_bytes
    return written
