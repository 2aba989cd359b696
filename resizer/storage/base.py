"""The protocol of a storage for compressed files."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from resizer.errors import StorageFailure, disk_fault

#: every name that the codec gives; no other name is looked up
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
#: files in one page of `Storage.files`
PAGE = 1000
#: the content under a name never changes
CACHE_CONTROL = "public, max-age=31536000, immutable"


def content_type_of(name: str) -> str:
    return CONTENT_TYPES[name.rpartition(".")[2]]


@contextmanager
def disk_failures(folder: Path) -> Iterator[None]:
    """Raise `StorageFailure` in place of an `OSError` from this folder."""
    try:
        yield
    except OSError as error:
        raise StorageFailure(disk_fault(error, folder)) from error


class StoredObject(Protocol):
    """A file on another machine."""

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
        """Yield the bytes from `first` to before `end`. Raises `StorageFailure`, also between two chunks."""
        ...


class Storage(Protocol):
    """Holds compressed files: complete under their name, or absent."""

    @property
    def folder(self) -> Path | None:
        """The folder of this machine that holds the files under their names; None for another machine."""
        ...

    async def identity(self) -> str:
        """Return an id of this storage, the same on all machines that share it. Raises `StorageFailure`."""
        ...

    def draft(self) -> Path:
        """Return an unused path; the caller writes a file there and hands it to `put`."""
        ...

    async def put(self, draft: Path, name: str) -> None:
        """Store the draft durably under its name, unless the name exists; remove the draft in any case.

        Raises `StorageFailure`.
        """
        ...

    async def check(self) -> None:
        """Raise `StorageFailure` if no file can be written now."""
        ...

    async def find(self, name: str) -> Path | StoredObject | None:
        """Return the file to send, or None if it does not exist or the name is not of our form.

        Raises `StorageFailure` if the storage does not answer.
        """
        ...

    def on_disk(self, name: str) -> AbstractAsyncContextManager[Path | None]:
        """Give the file, or a copy of it, on this machine; None as with `find`. Raises `StorageFailure`."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the file if it exists. Raises `StorageFailure`."""
        ...

    def files(self) -> AsyncGenerator[dict[str, float], None]:
        """Yield pages of file names, unsorted, with their time of writing in seconds since the epoch.

        A page has at most `PAGE` names. Raises `StorageFailure`.
        """
        ...

    async def sweep(self) -> None:
        """Remove drafts that a killed process left. Raises `StorageFailure`."""
        ...
