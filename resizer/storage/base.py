"""What a place for compressed files must be able to do."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

#: every name that the codec gives; nothing else is ever looked up
STEM = r"[0-9a-f]{32}"
#: by extension
CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
}
EXTENSIONS = tuple(CONTENT_TYPES)
NAME = re.compile(rf"{STEM}\.({'|'.join(EXTENSIONS)})")
#: files that `Storage.files` yields at once
PAGE = 1000
#: what is under a name never changes
CACHE_CONTROL = "public, max-age=31536000, immutable"


def content_type_of(name: str) -> str:
    """Return what a file of ours is, by its name."""
    return CONTENT_TYPES[name.rpartition(".")[2]]


class StoredObject(Protocol):
    """A file that is not on this machine."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def etag(self) -> str:
        """Strong validator in its quotes (RFC 9110, 8.8.3)."""
        ...

    @property
    def modified(self) -> float:
        """Seconds since the epoch."""
        ...

    def read(self, first: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `first` to before `end`. Raises `StorageFailure`, also midway."""
        ...


class Storage(Protocol):
    """Where compressed files live: complete under their name, or absent."""

    @property
    def folder(self) -> Path | None:
        """Where they stand under their names, for whoever looks for one without waiting; None: elsewhere."""
        ...

    async def identity(self) -> str:
        """Return what tells this storage from others, the same on all machines that share it.

        Raises `StorageFailure`.
        """
        ...

    def draft(self) -> Path:
        """Return a path where nothing is yet: a file written there can be taken over by `put`."""
        ...

    async def put(self, draft: Path, name: str) -> None:
        """Make the file durable under its name; a file of that name stays as it is.

        The draft is gone afterwards, whatever happens. Raises `StorageFailure`.
        """
        ...

    async def check(self) -> None:
        """Raise `StorageFailure` where no file can be written now."""
        ...

    async def find(self, name: str) -> Path | StoredObject | None:
        """Return the file to send, or None where there is none or the name is none of ours.

        Raises `StorageFailure` where it cannot be told.
        """
        ...

    def on_disk(self, name: str) -> AbstractAsyncContextManager[Path | None]:
        """Have the file on this machine within, or a copy of it; None as with `find`.

        Raises `StorageFailure`.
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove the file if it is there. Raises `StorageFailure`."""
        ...

    def files(self) -> AsyncGenerator[dict[str, float], None]:
        """Yield the names of all files, up to `PAGE` at once, in no order, each with when it was written.

        That is in seconds since the epoch. Raises `StorageFailure`.
        """
        ...

    async def sweep(self) -> None:
        """Remove drafts that a killed neighbour has left. Raises `StorageFailure`."""
        ...
