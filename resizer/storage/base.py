"""What a place for compressed files must be able to do."""

import re
from pathlib import Path
from typing import Protocol

#: every name that the codec gives; nothing else is ever looked up
STEM = r"[0-9a-f]{32}"
EXTENSIONS = ("jpg", "png", "webp", "gif", "avif", "bmp", "tiff")
NAME = re.compile(rf"{STEM}\.({'|'.join(EXTENSIONS)})")


class Storage(Protocol):
    """Where compressed files live: complete under their name, or absent."""

    #: where they stand under their names, for whoever looks for one without waiting
    folder: Path

    def draft(self) -> Path:
        """Return a path where nothing is yet: a file written there can be taken over without a copy."""
        ...

    async def put(self, draft: Path, name: str) -> None:
        """Make the file durable under its name; a file of that name stays as it is.

        The draft is gone afterwards, whatever happens. Raises `StorageFailure`.
        """
        ...

    async def check(self) -> None:
        """Raise `StorageFailure` where no file can be written now."""
        ...

    async def find(self, name: str) -> Path | None:
        """Return the file to send, or None where there is none or the name is none of ours."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the file if it is there. Raises `StorageFailure`."""
        ...
