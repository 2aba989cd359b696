"""Functions that the tests of the pool run in its children."""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path
from typing import Never

from resizer.compress.calls import CompressResult
from resizer.compress.codec import compress_file
from resizer.errors import HttpStatusError, StorageFailure
from resizer.models import Compressed, OutputFormat, Recipe


def double(number: int) -> int:
    return 2 * number


def double_leaving_a_mark(number: int, folder: Path) -> int:
    """Count the tries: one line of the number's own file for each."""
    _count(folder / str(number))
    time.sleep(0.02)
    return 2 * number


def die_at_first(folder: Path, name: str) -> str:
    if _count(folder / name) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def die(sign: signal.Signals) -> None:
    os.kill(os.getpid(), sign)


def read_nowhere() -> None:
    ctypes.string_at(0)


def leave(status: int) -> None:
    os._exit(status)


def hang(started: Path) -> None:
    """Hold the interpreter too: no thread of the child gets a turn."""
    started.touch()
    ctypes.PyDLL(None).sleep(3600)


def wait_for(started: Path, gate: Path) -> int:
    """Report the start, then run until the gate opens."""
    started.touch()
    while not gate.exists():
        time.sleep(0.005)
    return os.getpid()


def hoard(size: int) -> int:
    return len(bytearray(size))


def fail(http_status: int) -> Never:
    error = HttpStatusError("host", http_status, 3.0)
    error.attempts = 4
    raise error


class Unreadable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def fail_unreadably() -> Never:
    raise Unreadable("a", "b")


def exit_politely() -> Never:
    raise SystemExit(3)


def stop_iteration() -> Never:
    raise StopIteration


def signals_survived() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return os.getpid()


def write_when_let(started: Path, gate: Path, source: str, target: str, **_: object) -> CompressResult:
    """Stand in for the codec: keep the source, once the gate is open."""
    content = Path(source).read_bytes()
    wait_for(started, gate)
    Path(target).write_bytes(content)
    compressed = Compressed(
        filename=f"{'0' * 32}.jpg",
        format="jpeg",
        width=1,
        height=1,
        input_bytes=len(content),
        output_bytes=len(content),
    )
    return CompressResult(compressed=compressed)


def write_half_and_die(source: str, target: str, **_: object) -> CompressResult:
    Path(target).write_bytes(Path(source).read_bytes()[:10])
    os._exit(1)


def write_half_and_find_no_space(source: str, target: str, **_: object) -> CompressResult:
    Path(target).write_bytes(Path(source).read_bytes()[:10])
    raise StorageFailure("no space left on device")


def _count(file: Path) -> int:
    with file.open("a") as lines:
        lines.write("x\n")
    return len(file.read_text().splitlines())


def meet_its_fate(number: int, fate: str, source: Path, folder: Path) -> int:
    """Compress, or hang until the test that watches for the mark kills this process."""
    with (folder / f"{number}.begun").open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    tries = len((folder / f"{number}.begun").read_text().splitlines())
    if fate == "TOO_LARGE":
        return hoard(1 << 32)
    if fate == "HANGS":
        hang(folder / f"{number}.hangs")
    if tries <= {"KILLED_ONCE": 1, "KILLED_TWICE": 2}.get(fate, 0):
        hang(folder / f"{number}-{os.getpid()}.ready")
    recipe = Recipe(quality=50, format=OutputFormat.KEEP)
    target = str(folder / f"{number}.target")
    return compress_file(str(source), target, stem="0" * 32, recipe=recipe, max_pixels=10**6).output_bytes


def pages_taken(size: int) -> int:
    """Fill so many bytes; returns how many pages of memory the kernel had to give for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


class Unsendable:
    def __reduce__(self) -> Never:
        raise MemoryError


def make_unsendable() -> Unsendable:
    return Unsendable()
