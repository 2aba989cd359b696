"""The bytes of a CSV: in a file, or in memory if they are few."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes that open like a file, any number of times."""

    data: bytes

    def open(self, mode: Literal["rb"]) -> BytesIO:
        del mode
        return BytesIO(self.data)


Content = Path | InMemory
