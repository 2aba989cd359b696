"""What whoever processes images must be able to do."""

from collections.abc import Callable
from typing import Protocol

from resizer.models import Outcome, Task


class Engine(Protocol):
    """Where images are processed."""

    @property
    def wants_more(self) -> bool:
        """Whether it has fewer images at hand than it could compress now."""
        ...

    def workers(self, configured: int) -> int:
        """Return how many images are to be in flight where the configuration says so many."""
        ...

    async def run(self, task: Task, *, fetched: Callable[[], None] = lambda: None) -> Outcome:
        """Fetch, compress and store one image.

        `fetched` is called when its host has sent it, where that is known before all of it is done.
        An image's fault is an `Outcome`; what is raised is a bug, or a cancellation.
        """
        ...

    async def check(self) -> None:
        """Raise `PoolDown` where no image can be processed now."""
        ...
