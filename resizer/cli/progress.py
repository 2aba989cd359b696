"""Show how a request comes along: a bar on a terminal, plain lines otherwise."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

#: seconds between plain lines
LINE_EVERY = 5.0


class Tally(Protocol):
    """How far a request is, here or on another machine."""

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
    """Shows a request as it is now."""

    def update(self, tally: Tally) -> None: ...


class RateColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} images/s", style="progress.data.speed")


class Bar:
    """A bar with rate, bytes saved and time left."""

    def __init__(self, progress: Progress, tally: Tally) -> None:
        self._progress = progress
        self._task = progress.add_task(
            "compressing", total=tally.images, completed=tally.images - tally.pending, saved="", failed=""
        )

    def update(self, tally: Tally) -> None:
        self._progress.update(
            self._task,
            completed=tally.images - tally.pending,
            saved=f"{decimal(max(tally.input_bytes - tally.output_bytes, 0))} saved",
            failed=f"[red]{tally.failed} failed[/red]" if tally.failed else "",
        )


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console = console
        self._began = time.monotonic()
        self._done_before = tally.images - tally.pending
        self._last = self._began

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last < LINE_EVERY and not tally.done:
            return
        self._last = now
        done = tally.images - tally.pending
        rate = (done - self._done_before) / max(now - self._began, 1e-9)
        left = f", {tally.pending / rate:.0f} s left" if rate and tally.pending else ""
        self._console.print(
            f"{done}/{tally.images} images, {tally.failed} failed, {rate:.1f} images/s, "
            f"{decimal(max(tally.input_bytes - tally.output_bytes, 0))} saved{left}",
            highlight=False,
        )


@contextmanager
def show_progress(tally: Tally, console: Console) -> Iterator[Display]:
    """Give what shows the request's progress on this console."""
    if not console.is_terminal:
        yield Lines(console, tally)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TextColumn("{task.fields[saved]}"),
        TextColumn("{task.fields[failed]}"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield Bar(progress, tally)


def summary(tally: Tally) -> str:
    """Say in a line what came of a request."""
    share = 100 * (1 - tally.output_bytes / tally.input_bytes) if tally.input_bytes else 0
    return (
        f"{tally.completed} of {tally.images} images compressed, {tally.failed} failed; "
        f"{decimal(tally.input_bytes)} became {decimal(tally.output_bytes)} ({share:.0f} % saved)"
    )
