"""Fetch an image as its host gives it now, to be shown beside what was made of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from resizer.containers.formats import HEAD, sniff
from resizer.fetch.fetcher import Fetcher

#: half of the connections that one host is given as shipped: the engine has the others
AT_ONCE = 4
#: files that are fetched or being sent, so that slow readers fill no disk
KEPT = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The bytes of an image; only its head was looked at, the rest may be damaged."""

    file: BinaryIO
    #: bytes
    size: int
    #: by the content, whatever the host says
    content_type: str


class Originals:
    """Fetches so many images at once, each once; the fetcher is opened and closed by its owner."""

    def __init__(self, fetcher: Fetcher, *, at_once: int = AT_ONCE) -> None:
        self._fetcher = fetcher
        self._places = asyncio.Semaphore(at_once)
        self._kept = asyncio.Semaphore(KEPT)

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Original]:
        """Wait for a place, then download what the URL gives; it is gone on leaving. Raises `ImageError`."""
        async with self._kept, AsyncExitStack() as stack:
            # what is sent has no name any more: a client that takes its time holds no room of the spool
            async with self._places, self._fetcher.fetch(url, retries=0) as fetched:
                # not in a thread: one that outlives a cancelled wait would leave it open
                file = stack.enter_context(fetched.path.open("rb"))
                # it would be written over
                fetched.path.unlink()
            head = await asyncio.to_thread(file.read, HEAD)
            kind = sniff(head)
            file.seek(0)
            yield Original(file=file, size=fetched.size, content_type=f"image/{kind}")
