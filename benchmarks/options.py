"""Options of all benchmarks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    #: folder of generated images
    corpus: Path
    #: images per corpus or size; None: the default of the part
    images: int | None
    rounds: int
    #: tiny images of the largest request
    most: int
    #: few images and rounds, to check that it works
    quick: bool
    profile: bool
    #: folder for the crops of `pictures`
    crops: Path | None = None

    def count(self, usual: int, quick: int) -> int:
        """Return `--images`, or the default of the part."""
        return self.images or (quick if self.quick else usual)


#: measures, prints tables, and returns the figures for the JSON
Part = Callable[[Options], dict[str, Any]]
