"""A client of a running server: upload, status, images, result."""

import json
import os
import random
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiofiles
import aiohttp
import tenacity
import yarl

from resizer.errors import Problem, ServerRefused, ServerUnreachable
from resizer.models import BatchStatus
from resizer.support.atomic_file import atomic_write
from resizer.support.retry_after import seconds_to_wait
from resizer.version import VERSION

Body = dict[str, Any]
Value = TypeVar("Value")

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 60.0  # seconds between two chunks of a response
LEAST_TIMEOUT = 1.0  # seconds, for a shorter patience
#: seconds before the first retry, doubled for each further one up to the second
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
#: statuses after which a retry may succeed
TEMPORARY = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
CHUNK = 262_144  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestStatus:
    """The status of a request, as reported by its server."""

    request_id: str
    status: BatchStatus
    done: bool
    images: int
    pending: int
    completed: int
    failed: int
    input_bytes: int
    output_bytes: int
    #: the JSON object of the response
    body: Body

    @classmethod
    def of(cls, body: Body) -> Self:
        images = body["images"]
        return cls(
            request_id=body["request_id"],
            status=BatchStatus(body["status"]),
            done=body["done"],
            images=images["total"],
            pending=images["pending"],
            completed=images["completed"],
            failed=images["failed"],
            input_bytes=body["bytes"]["input"],
            output_bytes=body["bytes"]["output"],
            body=body,
        )


class TemporaryFailure(Exception):
    """A call failed and may be retried; never leaves this module."""

    def __init__(self, error: ServerUnreachable, *, connected: bool, wait: float | None = None) -> None:
        super().__init__(error, connected, wait)
        self.error = error
        #: whether the server was reached at all
        self.connected = connected
        #: seconds that the server asked for
        self.wait = wait


class RemoteServer:
    """A running server; calls are retried after temporary failures.

    `notify` receives a sentence at the first failure. Every call raises `ServerRefused`, and
    `ServerUnreachable` if there is no response for `patience` seconds.
    """

    def __init__(
        self, base: yarl.URL, token: str | None, *, patience: float, notify: Callable[[str], None]
    ) -> None:
        self.base = base
        self._token = token
        self._patience = patience
        self._notify = notify
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": f"resizer/{VERSION}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        longest = max(self._patience, LEAST_TIMEOUT)
        timeout = aiohttp.ClientTimeout(
            total=None, connect=min(CONNECT_TIMEOUT, longest), sock_read=min(READ_TIMEOUT, longest)
        )
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def page_of(self, request_id: str) -> str:
        """Return the address of the request's web page."""
        return f"{self._at('')}#/requests/{request_id}"

    async def upload(self, csv: Path, options: Mapping[str, str]) -> Body:
        """Upload a CSV exactly once, even with retries; returns the JSON of the response."""
        # the server recognizes a retry by it
        headers = {"Idempotency-Key": str(uuid.uuid4())}

        async def upload() -> Body:
            with csv.open("rb") as file:
                form = aiohttp.FormData(quote_fields=False)
                for name, value in options.items():
                    form.add_field(name, value)
                # a header cannot contain other characters
                name = "".join(each if each.isprintable() else "_" for each in csv.name)
                form.add_field("file", file, filename=name, content_type="text/csv")
                async with self._call("POST", "upload", data=form, headers=headers) as response:
                    body = await _object(response)
                    if absent := {"request_id", "products", "images"} - body.keys():
                        raise KeyError(*absent)
                    return body

        # no retry if nothing listens: the address is more often wrong than the server late
        return await self._retried(upload, unless=lambda fault: not fault.connected)

    async def status(self, request_id: str) -> RequestStatus:
        async def status() -> RequestStatus:
            async with self._call("GET", f"status/{quote(request_id, safe='')}") as response:
                return RequestStatus.of(await _object(response))

        return await self._retried(status)

    async def images(self, request_id: str, *, limit: int, status: str = "") -> list[Body]:
        """Return the first images, or the first with this `status`; at most one page."""

        async def images() -> list[Body]:
            path = f"requests/{quote(request_id, safe='')}/images"
            async with self._call("GET", path, limit=str(limit), status=status) as response:
                found: list[Body] = (await _object(response))["data"]
                return found

        return await self._retried(images)

    async def save_result(self, request_id: str, target: Path) -> None:
        """Write the result to a file, complete or not at all. Raises `OSError`."""
        with atomic_write(target) as draft:

            async def save() -> None:
                async with (
                    self._call("GET", f"result/{quote(request_id, safe='')}") as response,
                    aiofiles.open(draft, "wb") as file,
                ):
                    async for chunk in response.content.iter_chunked(CHUNK):
                        await file.write(chunk)

            await self._retried(save)

    async def _retried(
        self,
        call: Callable[[], Awaitable[Value]],
        *,
        unless: Callable[[TemporaryFailure], bool] = lambda _: False,
    ) -> Value:
        def is_temporary(error: BaseException) -> bool:
            return isinstance(error, TemporaryFailure) and not unless(error)

        def pause(state: tenacity.RetryCallState) -> float:
            assert state.outcome is not None  # noqa: S101 - there was an attempt
            fault = state.outcome.exception()
            asked = fault.wait if isinstance(fault, TemporaryFailure) else None
            longest = min(FIRST_PAUSE * 2 ** (state.attempt_number - 1), LONGEST_PAUSE)
            return asked if asked is not None else random.uniform(longest / 2, longest)  # noqa: S311

        def notify(state: tenacity.RetryCallState) -> None:
            fault = state.outcome.exception() if state.outcome else None
            if state.attempt_number == 1 and isinstance(fault, TemporaryFailure):
                self._notify(f"{fault.error}; retrying for {self._patience:.0f} s")

        try:
            return await tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception(is_temporary),
                wait=pause,
                stop=tenacity.stop_before_delay(self._patience),
                before_sleep=notify,
                reraise=True,
            )(call)
        except TemporaryFailure as fault:
            raise fault.error from fault

    @asynccontextmanager
    async def _call(
        self, method: str, path: str, *, data: object = None, headers: Mapping[str, str] = {}, **query: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._at(path).with_query(query) if query else self._at(path)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                if not response.ok or response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise await self._refusal(response)
                yield response
        except aiohttp.ClientConnectorError as error:
            reason = f"cannot connect: {_reason_of(error)}"
            raise TemporaryFailure(ServerUnreachable(str(self.base), reason), connected=False) from error
        except (aiohttp.ConnectionTimeoutError, aiohttp.SocketTimeoutError) as error:
            connected = isinstance(error, aiohttp.SocketTimeoutError)
            late = ServerUnreachable(str(self.base), "no response in time")
            raise TemporaryFailure(late, connected=connected) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            lost = ServerUnreachable(str(self.base), "the connection was lost")
            raise TemporaryFailure(lost, connected=True) from error
        except aiohttp.ClientError as error:
            raise ServerUnreachable(str(self.base), f"the response is not HTTP ({error})") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ServerUnreachable(
                str(self.base), "the response is not that of a resizer; check the address"
            ) from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> Exception:
        text = (await response.content.read(CHUNK)).decode(errors="replace")
        try:
            body = json.loads(text)
            detail = str(body["detail"])
            problems = tuple(
                Problem(line=each["line"], column=each["column"], message=each["message"])
                for each in body.get("errors", ())
            )
        except (ValueError, KeyError, TypeError):
            detail = f"HTTP {response.status} without a reason; is {self.base} a resizer?"
            problems = ()
        if response.status in TEMPORARY:
            wait = seconds_to_wait(response.headers.get("Retry-After", ""))
            return TemporaryFailure(ServerUnreachable(str(self.base), detail), connected=True, wait=wait)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ServerUnreachable(str(self.base), detail)
        return ServerRefused(response.status, detail, problems)

    def _at(self, path: str) -> yarl.URL:
        # a proxy may serve it below a path
        return yarl.URL(f"{str(self.base).rstrip('/')}/{path}", encoded=True)


def _reason_of(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error.os_error, ssl.SSLError):
        return f"TLS handshake failed ({error.os_error.reason}); does its address begin with http://?"
    # the text of asyncio names only the address; errors of the resolver have negative numbers
    number = error.os_error.errno or 0
    return os.strerror(number) if number > 0 else error.os_error.strerror or str(error)


async def _object(response: aiohttp.ClientResponse) -> Body:
    """Parse a response; `_call` translates its `ValueError` and `TypeError`."""
    found = json.loads(await response.text())
    if not isinstance(found, dict):
        raise TypeError("not a JSON object")
    return found
