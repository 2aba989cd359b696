"""Show the progress of a request: a bar on a terminal, plain lines otherwise."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 5.0  # seconds between plain lines


class Tally(Protocol):
    """The counts of a request, on this machine or on a server."""

    @property
    def done(self) -> bool: ...
    @property
    def images(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def input_bytes(self) -> int: ...
    @property
    def output_bytes(self) -> int: ...


class Display(Protocol):
    """A view of a request's progress."""

    def update(self, tally: Tally) -> None: ...


class _Rate:
    """Images per second since the display began."""

    def __init__(self, tally: Tally) -> None:
        self._began = time.monotonic()
        self._pending = tally.pending

    def of(self, tally: Tally) -> float:
        return (self._pending - tally.pending) / max(time.monotonic() - self._began, 1e-9)


class Bar:
    """A bar with rate, bytes saved and time left."""

    def __init__(self, progress: Progress, tally: Tally) -> None:
        self._progress = progress
        self._rate = _Rate(tally)
        self._task = progress.add_task("compressing", total=tally.images, rate=0.0, saved="", failed="")
        self.update(tally)

    def update(self, tally: Tally) -> None:
        self._progress.update(
            self._task,
            completed=tally.images - tally.pending,
            rate=self._rate.of(tally),
            saved=_saved(tally),
            failed=f"[red]{tally.failed} failed[/red]" if tally.failed else "",
        )


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._rate = _Rate(tally)
        self._last = time.monotonic()

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last < LINE_EVERY and not tally.done:
            return
        self._last = now
        rate = self._rate.of(tally)
        left = f", {tally.pending / rate:.0f} s left" if rate and tally.pending else ""
        self._console.print(
            f"{tally.images - tally.pending}/{tally.images} images, {tally.failed} failed, "
            f"{rate:.1f} images/s, {_saved(tally)}{left}",
            highlight=False,
        )


@contextmanager
def show_progress(tally: Tally, console: Console) -> Iterator[Display]:
    """Yield a display of the request's progress on this console."""
    if not console.is_terminal:
        yield Lines(console, tally)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} images/s", style="progress.data.speed"),
        TextColumn("{task.fields[saved]}"),
        TextColumn("{task.fields[failed]}"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield Bar(progress, tally)


def summary(tally: Tally) -> str:
    """Return the outcome of a request in one line."""
    share = 100 * (1 - tally.output_bytes / tally.input_bytes) if tally.input_bytes else 0
    return (
        f"{tally.completed} of {tally.images} images compressed, {tally.failed} failed; "
        f"{decimal(tally.input_bytes)} became {decimal(tally.output_bytes)} ({share:.0f} % saved)"
    )


def _saved(tally: Tally) -> str:
    return f"{decimal(max(tally.input_bytes - tally.output_bytes, 0))} saved"
