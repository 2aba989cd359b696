"""Fetch an image as its host serves it now, to show beside the compressed one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from resizer.containers.formats import HEAD, sniff
from resizer.fetch.fetcher import Fetcher

#: downloads at once; half of the default fetch.per_host, the rest is the engine's
AT_ONCE = 4
#: files being fetched or sent at once, so that slow readers do not fill the disk
KEPT = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The bytes of an image; only its first bytes were checked."""

    file: BinaryIO
    #: bytes
    size: int
    #: detected from the content, whatever the host declares
    content_type: str


class Originals:
    """Fetches images within limits; the fetcher is opened and closed by its owner."""

    def __init__(self, fetcher: Fetcher, *, at_once: int = AT_ONCE) -> None:
        self._fetcher = fetcher
        self._downloads = asyncio.Semaphore(at_once)
        self._kept = asyncio.Semaphore(KEPT)

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Original]:
        """Download the URL in one attempt; the file is removed on leaving. Raises `ImageError`."""
        async with self._kept, AsyncExitStack() as stack:
            # a slow client uses nothing of the spool's budget: the open file no longer has a name
            async with self._downloads, self._fetcher.fetch(url, retries=0) as fetched:
                # not in a thread: if the wait is cancelled, the thread would leave the file open
                file = stack.enter_context(fetched.path.open("rb"))
            head = await asyncio.to_thread(file.read, HEAD)
            kind = sniff(head)
            file.seek(0)
            yield Original(file=file, size=fetched.size, content_type=f"image/{kind}")
