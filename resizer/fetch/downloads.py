"""Share one download among concurrent images of the same URL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from resizer.errors import ImageError
from resizer.fetch.fetcher import Fetched, Fetcher
from resizer.support.shielded import shielded


class _Download:
    """A download, and the readers of its file besides the one that began it."""

    def __init__(self) -> None:
        #: None where the one that began it was cancelled
        self.fetched: asyncio.Future[Fetched | None] = asyncio.get_running_loop().create_future()
        self.readers = 0
        #: a reader was cancelled; its child may still read the file
        self.left_early = False
        self.unread = asyncio.Event()
        self.unread.set()

    @contextmanager
    def read(self) -> Iterator[None]:
        """Keep the file within the block."""
        self.readers += 1
        self.unread.clear()
        try:
            yield
        except BaseException:
            self.left_early = True
            raise
        finally:
            self.readers -= 1
            if not self.readers:
                self.unread.set()


class Downloads:
    """Fetches as the fetcher does; concurrent callers for a URL share one file."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._downloads: dict[str, _Download] = {}

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Fetched]:
        """Download to a file, which must not be changed. Raises `ImageError`."""
        while (download := self._downloads.get(url)) is not None:
            with download.read():
                fetched = await asyncio.shield(download.fetched)
                if fetched is not None:
                    yield fetched
                    return
        download = self._downloads[url] = _Download()
        try:
            async with self._fetcher.fetch_if_changed(url, None) as whole:
                assert isinstance(whole, Fetched)  # noqa: S101 - the request had no condition
                download.fetched.set_result(whole)
                try:
                    yield whole
                finally:
                    del self._downloads[url]
                    if download.readers:
                        await shielded(download.unread.wait())
                    if download.left_early:
                        whole.path.unlink(missing_ok=True)  # or another download would overwrite it
        except ImageError as error:
            if not download.fetched.done():
                download.fetched.set_exception(error)
                download.fetched.exception()  # marks it as retrieved
            raise
        finally:
            if not download.fetched.done():
                download.fetched.set_result(None)
            if self._downloads.get(url) is download:
                del self._downloads[url]
