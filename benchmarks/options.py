"""Options of every part."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    #: where images are kept for the next run
    corpus: Path
    #: of each corpus, each size …; None is the part's own number
    images: int | None
    rounds: int
    #: tiny images of the largest request, and rows of the largest CSV
    most: int
    #: few of everything: shows that it works, and no more
    quick: bool
    profile: bool
    #: where crops of `pictures` are written
    crops: Path | None = None

    def count(self, usual: int, quick: int) -> int:
        """Return how many images a part takes that usually takes so many."""
        return self.images or (quick if self.quick else usual)


#: measures, prints its tables and returns all its figures for the JSON
Part = Callable[[Options], dict[str, Any]]
