"""Show how a batch comes along: a bar on a terminal, plain lines otherwise."""

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

from resizer.models import Batch

#: seconds between plain lines
LINE_EVERY = 5.0


class Display(Protocol):
    """Shows a batch as it is now."""

    def update(self, batch: Batch) -> None: ...


class RateColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} images/s", style="progress.data.speed")


class Bar:
    """A bar with rate, bytes saved and time left."""

    def __init__(self, progress: Progress, batch: Batch) -> None:
        self._progress = progress
        self._task = progress.add_task(
            "compressing", total=batch.images, completed=batch.images - batch.pending, saved="", failed=""
        )

    def update(self, batch: Batch) -> None:
        self._progress.update(
            self._task,
            completed=batch.images - batch.pending,
            saved=f"{decimal(max(batch.input_bytes - batch.output_bytes, 0))} saved",
            failed=f"[red]{batch.failed} failed[/red]" if batch.failed else "",
        )


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, batch: Batch) -> None:
        self._console = console
        self._began = time.monotonic()
        self._done_before = batch.images - batch.pending
        self._last = self._began

    def update(self, batch: Batch) -> None:
        now = time.monotonic()
        if now - self._last < LINE_EVERY and not batch.done:
            return
        self._last = now
        done = batch.images - batch.pending
        rate = (done - self._done_before) / max(now - self._began, 1e-9)
        left = f", {batch.pending / rate:.0f} s left" if rate and batch.pending else ""
        self._console.print(
            f"{done}/{batch.images} images, {batch.failed} failed, {rate:.1f} images/s, "
            f"{decimal(max(batch.input_bytes - batch.output_bytes, 0))} saved{left}",
            highlight=False,
        )


@contextmanager
def show_progress(batch: Batch, console: Console) -> Iterator[Display]:
    """Give what shows the batch's progress on this console."""
    if not console.is_terminal:
        yield Lines(console, batch)
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
        yield Bar(progress, batch)
