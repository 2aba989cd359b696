"""Download one image within a size and time budget."""

import asyncio
import base64
import logging
import random
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
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
from resizer.fetch.spool import PIECE, SpoolBudget, SpoolFile
from resizer.fetch.url_parser import parse_url, redact
from resizer.fetch.validators import conditions, origin_info
from resizer.models import OriginInfo
from resizer.support.host_key import HostKey
from resizer.support.log_throttle import LogThrottle
from resizer.support.retry_after import seconds_to_wait
from resizer.version import VERSION

logger = logging.getLogger(__name__)

BACKOFF = 0.5  # seconds before the first retry; doubles with each further one
MAX_BACKOFF = 30.0  # seconds
MAX_DOUBLINGS = 16  # far beyond the maximum
MAX_RETRY_AFTER = 120.0  # seconds; a longer Retry-After fails the image, so that its request ends in time
SHORTAGE_PAUSE = 0.5  # seconds before another attempt when descriptors, threads or memory ran out
#: statuses of servers that do not support a condition; then the request is repeated without it
CONDITION_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.PRECONDITION_FAILED})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: a Content-Range from the first byte: the last byte, and the number of all
WHOLE_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII)
#: no format by name: if the origin offers several, the URL's own is preferred
ACCEPT = "image/*, */*;q=0.8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A downloaded file; its content has not been checked yet."""

    path: Path
    #: bytes, decompressed
    size: int
    attempts: int = 1
    source: OriginInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """The origin's report that a known image has not changed."""

    attempts: int = 1
    source: OriginInfo


class Fetcher:
    """Downloads to files in a folder, from `async with` to its end."""

    def __init__(
        self, settings: FetchSettings, hosts: HostLimits, *, spool: Path, backoff: float = BACKOFF
    ) -> None:
        self._settings = settings
        self._policy = AddressPolicy(settings.allow_networks, setting="fetch.allow_networks")
        self._hosts = hosts
        self._spool = SpoolBudget(spool)
        self._backoff = backoff
        self._may_log_shortage = LogThrottle()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._spool.folder.mkdir, parents=True, exist_ok=True)
        self._session = open_session(
            self._policy,
            # the limit of a whole attempt, which may be several requests, is kept by `_TimeLeft`
            timeout=aiohttp.ClientTimeout(total=None, connect=self._settings.connect_timeout),
            limit_per_host=self._settings.per_host,
            headers={
                "Accept": ACCEPT,
                "Accept-Encoding": "identity",
                "User-Agent": self._settings.user_agent or f"resizer/{VERSION}",
            },
            # also the most that one step of aiohttp's decompression returns, whatever a bomb contains
            read_bufsize=PIECE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def fetch(self, url: str, *, retries: int | None = None) -> AsyncIterator[Fetched]:
        """Download the URL to a file that is removed on leaving. Raises `ImageError`.

        `retries` replaces fetch.retries; then a shortage of descriptors, threads or memory is not waited out.
        """
        async with self.fetch_if_changed(url, None, retries=retries) as fetched:
            assert isinstance(fetched, Fetched)  # noqa: S101 - the request had no condition
            yield fetched

    @asynccontextmanager
    async def fetch_if_changed(
        self, url: str, known: OriginInfo | None, *, retries: int | None = None
    ) -> AsyncIterator[Fetched | Unchanged]:
        """Do the same, unless the origin reports that the image has not changed since it was `known`."""
        target = parse_url(url)
        patience = self._settings.timeout if retries is None else 0.0
        retries = self._settings.retries if retries is None else retries
        async with self._spool.file() as file:
            yield await self._retried(target, file, known, retries=retries, patience=patience)

    async def _retried(
        self, url: URL, file: SpoolFile, known: OriginInfo | None, *, retries: int, patience: float
    ) -> Fetched | Unchanged:
        """Repeat the attempt after temporary errors; one that fails by a shortage here does not count."""
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + patience
        attempt = 1
        while True:
            try:
                result = await self._attempt(url, file, known)
                return replace(result, attempts=attempt)
            except ImageError as error:
                error.attempts = attempt
                logger.debug("attempt %d to fetch %s failed: %s", attempt, redact(url), error)
                if isinstance(error, OutOfResources):
                    pause = SHORTAGE_PAUSE
                    if loop.time() + pause > patient_until:
                        raise
                    if self._may_log_shortage():
                        logger.warning("cannot download images: %s; retrying", error.reason)
                else:
                    if attempt > retries or not _is_worth_retrying(error):
                        raise
                    pause = max(self._pause_after(attempt), error.retry_after or 0.0)
                    attempt += 1
            await asyncio.sleep(pause)

    def _pause_after(self, attempt: int) -> float:
        doubled: float = self._backoff * 2 ** min(attempt - 1, MAX_DOUBLINGS)
        return min(doubled, MAX_BACKOFF) + random.uniform(0, self._backoff)  # noqa: S311 - no secret

    async def _attempt(self, url: URL, file: SpoolFile, known: OriginInfo | None) -> Fetched | Unchanged:
        """Follow the redirects from the URL to the image, and download it."""
        first = url
        redirects = 0
        credentials: dict[URL, str] = {}
        time_left = _TimeLeft(self._settings.timeout)
        while redirects <= self._settings.max_redirects:
            location = None if url == first else str(url.with_user(None))
            asked = known if known and known.can_be_asked and known.location == location else None
            headers = conditions(asked) if asked else {}
            if url.user is not None:
                credentials[url.origin()] = _basic(url)
            if credentials and (authorization := credentials.get(url.origin())):
                headers["Authorization"] = authorization
            async with self._response(url, headers, time_left) as response:
                if asked and response.status in CONDITION_REFUSED:
                    known = None
                elif response.status in REDIRECTS and "Location" in response.headers:
                    url = _redirected(url, response.headers["Location"])
                    redirects += 1
                elif asked and response.status == HTTPStatus.NOT_MODIFIED:
                    source = origin_info(response.headers, asked.digest, location=location, before=asked)
                    return Unchanged(source=source)
                else:
                    self._check_status(url, response)
                    await self._download(response, file)
                    source = origin_info(response.headers, file.digest, location=location)
                    return Fetched(path=file.path, size=file.size, source=source)
        raise TooManyRedirects(first.host or "", self._settings.max_redirects)

    @asynccontextmanager
    async def _response(
        self, url: URL, headers: Mapping[str, str], time_left: "_TimeLeft"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request once its host has a connection free; any error until its end is an `ImageError`."""
        async with self._hosts.connection(HostKey.of(str(url))):
            with self._image_errors(url):
                async with (
                    time_left.running(),
                    self._session.get(
                        url.with_user(None) if "@" in url.raw_authority else url,
                        headers=headers,
                        allow_redirects=False,
                    ) as response,
                ):
                    yield response

    @contextmanager
    def _image_errors(self, url: URL) -> Iterator[None]:
        host = url.host or ""
        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            raise FetchTimeout(host, self._settings.connect_timeout, "fetch.connect_timeout") from error
        except TimeoutError as error:
            raise FetchTimeout(host, self._settings.timeout, "fetch.timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise translate(error, url, self._policy) from error

    def _check_status(self, url: URL, response: aiohttp.ClientResponse) -> None:
        """Raise `HttpStatusError` unless the response has a whole body; pause a host that asks for it."""
        if 200 <= response.status <= 299 and not _is_partial(response):  # noqa: PLR2004
            return
        retry_after = seconds_to_wait(response.headers.get("Retry-After", ""))
        error = HttpStatusError(url.host or "", response.status, retry_after)
        if retry_after and _is_worth_retrying(error):
            self._hosts.pause(HostKey.of(str(url)), retry_after)
        raise error

    async def _download(self, response: aiohttp.ClientResponse, file: SpoolFile) -> None:
        limit = self._settings.max_size
        if (response.content_length or 0) > limit:
            raise TooLarge(limit)
        async with file.open():
            async for chunk in response.content.iter_any():
                if file.size + len(chunk) > limit:
                    raise TooLarge(limit)
                await file.write(chunk)


class _TimeLeft:
    """The time that an attempt may still take; waiting for a connection does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._seconds):
                yield
        finally:
            self._seconds -= loop.time() - began


def _is_worth_retrying(error: ImageError) -> bool:
    return error.passing and (error.retry_after or 0.0) <= MAX_RETRY_AFTER


def _is_partial(response: aiohttp.ClientResponse) -> bool:
    """Return whether the body is a range that was not requested: a part of an image may look like one."""
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
        raise InvalidUrl(f"in the redirect of {url.host}, it is malformed") from error


def _basic(url: URL) -> str:
    return "Basic " + base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
