"""The protocol of an engine, which processes one image, here or on another machine."""

from typing import Protocol

from resizer.models import Outcome, Task


class Progress(Protocol):
    """Receives the progress of one image."""

    def fetched(self) -> None:
        """Note that the image's host has sent it."""
        ...

    async def claim(self, stem: str) -> None:
        """Claim a file before it is looked for or made; it is released once the outcome is recorded."""
        ...


class NoProgress:
    """For an image that nothing is shared with, on a machine that deletes no files."""

    def fetched(self) -> None:
        """Do nothing."""

    async def claim(self, stem: str) -> None:
        """Do nothing."""


class Engine(Protocol):
    """Processes images."""

    @property
    def workers(self) -> int:
        """How many images may be in flight."""
        ...

    async def room(self) -> None:
        """Wait until another image would not just wait to be compressed."""
        ...

    async def run(self, task: Task, progress: Progress) -> Outcome:
        """Fetch, compress and store one image.

        An image's fault is an `Outcome`; what is raised is a bug, or a cancellation.
        """
        ...

    async def check(self) -> None:
        """Raise `PoolDown` where no image can be processed now."""
        ...
