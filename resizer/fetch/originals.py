"""Fetch an image from its host, to show it beside the compressed one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from resizer.containers.formats import HEAD, sniff
from resizer.fetch.fetcher import Fetcher

#: half of the default of fetch.per_host, which leaves the rest to the engine
AT_ONCE = 4
#: files that are fetched or being sent, so that slow clients do not fill the disk
KEPT = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The bytes of an image, of which only the head was checked."""

    file: BinaryIO
    #: bytes
    size: int
    #: by the content, not by the host's header
    content_type: str


class Originals:
    """Fetches at most `at_once` images concurrently, each in one attempt."""

    def __init__(self, fetcher: Fetcher, *, at_once: int = AT_ONCE) -> None:
        self._fetcher = fetcher
        self._places = asyncio.Semaphore(at_once)
        self._kept = asyncio.Semaphore(KEPT)

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Original]:
        """Download the URL to a file that lasts as long as the block. Raises `ImageError`."""
        async with self._kept, AsyncExitStack() as stack:
            # unlinked while it is sent, so that a slow client takes no room of the spool
            async with self._places, self._fetcher.fetch(url, retries=0) as fetched:
                # not in a thread: after a cancellation it would stay open
                file = stack.enter_context(fetched.path.open("rb"))
                # another download would overwrite it
                fetched.path.unlink()
            head = await asyncio.to_thread(file.read, HEAD)
            kind = sniff(head)
            file.seek(0)
            yield Original(file=file, size=fetched.size, content_type=f"image/{kind}")
