"""Count the images that are being processed."""

from collections.abc import Iterator
from contextlib import contextmanager


class InFlight:
    """A number that the pipeline keeps, and by which commits and writes know whether to wait for company."""

    def __init__(self) -> None:
        self.images = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        self.images += 1
        try:
            yield
        finally:
            self.images -= 1
