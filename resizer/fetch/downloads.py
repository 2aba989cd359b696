"""Share one download among all who want its URL concurrently."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from resizer.fetch.fetcher import Fetched, Fetcher
from resizer.support.single_flight import SingleFlight


class Downloads:
    """Downloads a URL once for its concurrent users, who share the file."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._flights: SingleFlight[str, Fetched] = SingleFlight()

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Fetched]:
        """Download the URL to a file that must not be changed. Raises `ImageError`."""
        async with self._flights.join(url, lambda _: self._fetcher.fetch(url)) as flight:
            yield await flight.wait()
