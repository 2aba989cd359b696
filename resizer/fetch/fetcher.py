"""Download one image within a size and time budget."""

import asyncio
import base64
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from resizer.config import FetchSettings
from resizer.errors import (
    FetchTimeout,
    HttpStatusError,
    ImageError,
    InvalidUrl,
    OutOfResources,
    TooLarge,
    TooManyRedirects,
)
from resizer.fetch.addresses import AddressPolicy
from resizer.fetch.hosts import HostLimits
from resizer.fetch.session import open_session, translate
from resizer.fetch.spool import PIECE, SpoolBudget, SpoolFile, write_spool
from resizer.fetch.url_parser import parse_url, redact
from resizer.fetch.validators import conditions, origin_info
from resizer.models import OriginInfo
from resizer.support.host_key import HostKey
from resizer.support.log_throttle import LogThrottle
from resizer.support.retry_after import seconds_to_wait
from resizer.version import VERSION

logger = logging.getLogger(__name__)

BACKOFF = 0.5  # seconds before the second try; doubles with each further one
MAX_BACKOFF = 30.0  # seconds
MAX_RETRY_AFTER = 120.0  # seconds; a longer Retry-After fails the image, so that its request ends
SHORTAGE_PAUSE = 0.5  # seconds between attempts while descriptors, threads or memory are short
#: responses of servers that do not understand a condition; it is then omitted
CONDITION_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.PRECONDITION_FAILED})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: a Content-Range from the first byte on: the number of the last byte, and the total
WHOLE_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII)
#: names no format, so that an origin with several sends the URL's own
ACCEPT = "image/*, */*;q=0.8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A downloaded file, which need not be an image."""

    path: Path
    #: bytes, decompressed
    size: int
    #: tries made
    attempts: int
    source: OriginInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """What the origin says of an image that is as it was known."""

    #: tries made
    attempts: int
    source: OriginInfo


class Fetcher:
    """Downloads to files in a folder, from `async with` to its end."""

    def __init__(
        self, settings: FetchSettings, hosts: HostLimits, *, spool: Path, backoff: float = BACKOFF
    ) -> None:
        self._settings = settings
        self._policy = AddressPolicy(settings.allow_networks, setting="fetch.allow_networks")
        self._hosts = hosts
        self._room = SpoolBudget(spool)
        self._may_log = LogThrottle()
        self._backoff = backoff

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._room.folder.mkdir, parents=True, exist_ok=True)
        self._session = open_session(
            self._policy,
            # an attempt may be several requests, whose total time `_hop` limits
            timeout=aiohttp.ClientTimeout(total=None, connect=self._settings.connect_timeout),
            limit_per_host=self._settings.per_host,
            headers={
                "Accept": ACCEPT,
                "Accept-Encoding": "identity",
                "User-Agent": self._settings.user_agent or f"resizer/{VERSION}",
            },
            # also limits one step of aiohttp's decompression, so that a bomb cannot expand
            read_bufsize=PIECE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def fetch(self, url: str, *, retries: int | None = None) -> AsyncIterator[Fetched]:
        """Download to a file that is removed after the block. Raises `ImageError`.

        `retries` replaces fetch.retries; with it, a shortage of descriptors fails at once.
        """
        async with self.fetch_if_changed(url, None, retries=retries) as fetched:
            assert isinstance(fetched, Fetched)  # noqa: S101 - the request had no condition
            yield fetched

    @asynccontextmanager
    async def fetch_if_changed(
        self, url: str, known: OriginInfo | None, *, retries: int | None = None
    ) -> AsyncIterator[Fetched | Unchanged]:
        """Do the same, unless the origin reports that the image is as it was `known`."""
        target = parse_url(url)
        patience = self._settings.timeout if retries is None else 0.0
        retries = self._settings.retries if retries is None else retries
        async with self._room.place() as place:
            yield await self._with_patience(patience, partial(self._fetch, target, place, known, retries))

    async def _with_patience(
        self, seconds: float, fetch: Callable[[], Awaitable[Fetched | Unchanged]]
    ) -> Fetched | Unchanged:
        """Wait up to `seconds` for a resource that this machine lacks; it counts as no attempt."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            try:
                return await fetch()
            except OutOfResources as error:
                if loop.time() + SHORTAGE_PAUSE > until:
                    raise
                if self._may_log():
                    logger.warning("images wait until there is room: %s", error.reason)
            await asyncio.sleep(SHORTAGE_PAUSE)

    async def _fetch(
        self, url: URL, place: SpoolFile, known: OriginInfo | None, retries: int
    ) -> Fetched | Unchanged:
        for number in range(1, retries + 2):
            try:
                return await self._attempt(url, place, known, number=number)
            except ImageError as error:
                if number > retries or not _worth_another_try(error):
                    raise
                pause = self._pause(number, error)
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self, url: URL, place: SpoolFile, known: OriginInfo | None, *, number: int
    ) -> Fetched | Unchanged:
        try:
            size, source = await self._try(url, place, known)
        except ImageError as error:
            error.attempts = number
            logger.debug("try %d to fetch %s failed: %s", number, redact(url), error)
            raise
        if size is None:
            return Unchanged(attempts=number, source=source)
        return Fetched(path=place.path, size=size, attempts=number, source=source)

    def _pause(self, number: int, error: ImageError) -> float:
        """Return the seconds until the next try; the host may ask for more than the growing pause."""
        growing = min(self._backoff * 2.0 ** (number - 1), MAX_BACKOFF)
        return max(growing + random.uniform(0, self._backoff), error.retry_after or 0.0)  # noqa: S311

    async def _try(
        self, url: URL, place: SpoolFile, known: OriginInfo | None
    ) -> tuple[int | None, OriginInfo]:
        """Follow redirects to the last byte; return the size, None where the image is unchanged."""
        first_host = url.host or ""
        seconds = self._settings.timeout
        loop = asyncio.get_running_loop()
        credentials: dict[URL, str] = {}
        first = url
        redirects = 0
        while redirects <= self._settings.max_redirects:
            if url.user is not None:
                credentials[url.origin()] = _basic(url)
            location = None if url == first else str(url.with_user(None))
            asked = known if known and known.can_be_asked and known.location == location else None
            headers = conditions(asked) if asked else {}
            if credentials and (authorization := credentials.get(url.origin())):
                headers["Authorization"] = authorization
            async with self._hosts.connection(HostKey.of(str(url))):
                # the wait for a connection does not count
                began = loop.time()
                try:
                    end = await self._hop(url, place, headers, seconds, asked)
                except HttpStatusError as error:
                    if asked is None or error.http_status not in CONDITION_REFUSED:
                        raise
                    known = None
                    continue
                finally:
                    seconds -= loop.time() - began
            if isinstance(end, URL):
                url = end
                redirects += 1
                continue
            size, source = end
            return size, replace(source, location=location) if location else source
        raise TooManyRedirects(first_host, self._settings.max_redirects)

    async def _hop(
        self, url: URL, place: SpoolFile, headers: Mapping[str, str], seconds: float, asked: OriginInfo | None
    ) -> URL | tuple[int | None, OriginInfo]:
        """Send one request; return the URL of a redirect, or the size of the stored body and its origin info.

        The size is None where the origin reports that the image is as it was `asked` about.
        """
        host = url.host or ""
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.get(
                    url.with_user(None) if "@" in url.raw_authority else url,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status in REDIRECTS and "Location" in response.headers:
                    return _redirected(url, response.headers["Location"])
                if response.status == HTTPStatus.NOT_MODIFIED and asked:
                    return None, origin_info(response.headers, asked.digest, before=asked)
                if not 200 <= response.status <= 299 or _is_a_part(response):  # noqa: PLR2004
                    raise self._status_error(url, response)
                return await self._keep(response, place)
        except aiohttp.ConnectionTimeoutError as error:
            raise FetchTimeout(host, self._settings.connect_timeout, "fetch.connect_timeout") from error
        except TimeoutError as error:
            raise FetchTimeout(host, self._settings.timeout, "fetch.timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise translate(error, url, self._policy) from error

    async def _keep(self, response: aiohttp.ClientResponse, place: SpoolFile) -> tuple[int, OriginInfo]:
        limit = self._settings.max_size
        if (response.content_length or 0) > limit:
            raise TooLarge(limit)
        size = 0
        async with write_spool(place) as spool:
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(limit)
                await spool.add(chunk)
        return size, origin_info(response.headers, spool.digest)

    def _status_error(self, url: URL, response: aiohttp.ClientResponse) -> HttpStatusError:
        asked = seconds_to_wait(response.headers.get("Retry-After", ""))
        error = HttpStatusError(url.host or "", response.status, asked)
        if asked and _worth_another_try(error):
            self._hosts.pause(HostKey.of(str(url)), asked)
        return error


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, ImageError) and error.passing and (error.retry_after or 0.0) <= MAX_RETRY_AFTER


def _is_a_part(response: aiohttp.ClientResponse) -> bool:
    """Return whether the response is a part of an image, which no request asks for."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return False
    whole = WHOLE_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return whole is None or int(whole[1]) + 1 != int(whole[2])


def _redirected(url: URL, location: str) -> URL:
    try:
        return parse_url(urljoin(str(url.with_user(None)), location))
    except InvalidUrl as error:
        raise InvalidUrl(f"in the redirect of {url.host}, {error.reason}") from error
    except ValueError as error:
        raise InvalidUrl(f"in the redirect of {url.host}, it cannot be read") from error


def _basic(url: URL) -> str:
    return "Basic " + base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
