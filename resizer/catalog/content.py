"""Where the bytes of a CSV stand: in a file, or in memory while they are few."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes that are opened as a file is, any number of times."""

    data: bytes

    def open(self, mode: Literal["rb"]) -> BytesIO:
        del mode  # there is but this one
        return BytesIO(self.data)


Content = Path | InMemory
