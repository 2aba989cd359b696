"""Everything that depends on undocumented parts of aiohttp.

`difference` compares the installed aiohttp with the tested one when the server starts. If they differ, the
server logs `LOST` once and uses `ClientConnection` and aiohttp's own `Expect` and form handling.
"""

import asyncio
import inspect
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import aiohttp
from aiohttp import MultipartReader, StreamReader, hdrs, http_exceptions, web
from aiohttp.abc import AbstractStreamWriter

from resizer.errors import BodyTooSlow
from resizer.version import SERVER
from resizer.web.connection.body_reader import BodyReader
from resizer.web.connection.client_connection import ClientConnection
from resizer.web.connection.content_encoding import inflater_for
from resizer.web.connection.minimum_rate import MinimumRate
from resizer.web.problems import problem, problem_of, raw_problem

logger = logging.getLogger(__name__)

#: newest minor version of aiohttp that the tests ran against; pyproject.toml names it too
TESTED_UP_TO: Final = "3.14"
LOST: Final = (
    "slow and unfinished requests are not limited by server.request_timeout, a connection stops counting "
    "when its client leaves, unreadable requests are not answered with problem documents, bodies are "
    "requested before an upload is checked, forms are not limited outside their fields, and compressed forms "
    "are refused"
)
#: attributes that the code below reads or sets
ATTRIBUTES: Final[Mapping[type, frozenset[str]]] = {
    web.RequestHandler: frozenset({"_current_request", "_lingering_time", "_loop", "_messages"})
    | {"_reading_paused", "_request_count", "_task_handler", "_waiter", "close", "force_close"},
    StreamReader: frozenset({"feed_eof", "is_eof", "total_bytes"}),
    AbstractStreamWriter: frozenset({"output_size"}),
    web.BaseRequest: frozenset({"writer"}),
}
#: methods that it overrides or calls, and their first parameters
METHODS: Final[Mapping[tuple[type, str], tuple[str, ...]]] = {
    (web.RequestHandler, "finish_response"): ("self", "request", "resp", "start_time"),
    (web.RequestHandler, "handle_error"): ("self", "request", "status", "exc", "message"),
    (web.RequestHandler, "resume_reading"): ("self", "resume_parser"),
    (StreamReader, "set_exception"): ("self", "exc"),
    (StreamReader, "readline"): ("self", "max_line_length"),
    (MultipartReader, "__init__"): ("self", "headers", "content"),
}
#: aiohttp's errors for a body that is broken or cut off; AssertionError and the like escape its parsers
BROKEN_BODY: Final = (
    ValueError,
    AssertionError,
    KeyError,  # a Content-Type without a boundary
    RuntimeError,
    ConnectionError,
    TimeoutError,  # lost packets were never sent again
    aiohttp.ClientPayloadError,
    web.RequestPayloadError,
    getattr(http_exceptions, "HttpProcessingError", ValueError),
)


def difference() -> str | None:
    """Return how the installed aiohttp differs from the tested one; None if it does not."""
    if _minor(aiohttp.__version__) > _minor(TESTED_UP_TO):
        return f"it is newer than {TESTED_UP_TO}, the newest version tested"
    for owner, names in ATTRIBUTES.items():
        if missing := sorted(name for name in names if not hasattr(owner, name)):
            return f"{owner.__name__}.{missing[0]} is missing"
    for (owner, name), expected in METHODS.items():
        found = tuple(inspect.signature(getattr(owner, name)).parameters) if hasattr(owner, name) else ()
        if found[: len(expected)] != expected:
            return f"{owner.__name__}.{name} takes other parameters"
    return None


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def connection_class() -> type[ClientConnection]:
    """Return the class of connections for the installed aiohttp; log what is lost with a different one."""
    reason = difference()
    if reason is None:
        return WatchedConnection
    logger.warning(
        "aiohttp %s differs from the tested one: %s; until resizer supports it, %s. To avoid this, run "
        "pip install 'aiohttp==%s.*'",
        aiohttp.__version__,
        reason,
        LOST,
        TESTED_UP_TO,
    )
    return ClientConnection


async def send_continue(request: web.Request) -> None:
    """Ask the client for its body (100 Continue)."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # it counts bytes of the answer, and this is not part of it
    request.writer.output_size = 0


def form_reader(request: web.Request, body: BodyReader) -> MultipartReader:
    """Read a form from `body`, which offers the methods of `StreamReader` that a form needs."""
    return MultipartReader(request.headers, cast(StreamReader, body))


async def plain_form_reader(request: web.Request) -> MultipartReader:
    """Read a form with aiohttp alone, which gives a compressed one no limit."""
    if inflater_for(request.headers.get(hdrs.CONTENT_ENCODING, "")) is not None:
        raise web.HTTPUnsupportedMediaType(text="cannot read a compressed form; send it uncompressed")
    return await request.multipart()


class WatchedConnection(ClientConnection):
    """A connection with time limits for headers and bodies; every error is a problem document."""

    def __init__(self, manager: web.Server, *, request_timeout: float, **options: Any) -> None:
        super().__init__(manager, request_timeout=request_timeout, **options)
        self._header_timer: asyncio.TimerHandle | None = None
        #: part of the next request's header has arrived
        self._header_started = False
        #: requests whose header is complete
        self._headers_seen = 0
        #: of the newest request's body, until that is complete
        self._rate: MinimumRate | None = None
        #: body of the request answered last
        self._answered: StreamReader | None = None

    def working_task(self) -> asyncio.Task[Any] | None:
        task: asyncio.Task[None] | None = self._task_handler
        return task

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_header_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_header_timer()
        if self._rate is not None:
            self._rate.stop()
        super().connection_lost(exc)
        if self._rate is not None and not self._rate.complete and self._current_request is None:
            # aiohttp fails the body of a request only once its handler runs
            self._fail_body(self._rate.body, ConnectionResetError("the client has disconnected"))

    def data_received(self, data: bytes) -> None:
        between_requests = self._rate is None or self._rate.complete
        super().data_received(data)
        if self._header_is_complete():
            following = self._after_last_request(data)
            self._watch_body()
        else:
            following = data if between_requests else b""
        # some clients send a superfluous line break after a body
        if not self._header_started and following.strip(b"\r\n"):
            self._header_started = True
            if self._header_timer is None:
                self._start_header_timer()

    def pause_reading(self) -> None:
        super().pause_reading()
        if self._rate is not None:
            self._rate.pause()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - as in aiohttp
        super().resume_reading(resume_parser)
        if self._rate is not None and not self._reading_paused:
            self._rate.resume()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._answered = request.content
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            resp = problem_of(resp)  # an unknown Expect, which aiohttp refuses before any middleware
        if isinstance(resp, web.Response) and not resp.prepared and not request.content.is_eof():
            resp.force_close()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            # aiohttp parses what follows a declined upgrade only now
            if self._header_is_complete():
                self._watch_body()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        # without the bytes received: they may hold a token
        logger.debug("Unreadable request from %s: %s", request.remote, type(exc).__name__)
        known = HTTPStatus(status)
        response = problem(
            known,
            None,
            f"cannot parse the request: {known.description or known.phrase}",
            headers={hdrs.SERVER: SERVER},  # no application handles it and adds this
        )
        response.force_close()
        return response

    def _header_is_complete(self) -> bool:
        return self._request_count != self._headers_seen

    def _after_last_request(self, data: bytes) -> bytes:
        """Return what follows the last request in `data`, if its end can be found."""
        message, body = self._messages[-1]
        # a body of known length may contain blank lines; everything else ends with one
        if not body.is_eof() or (body.total_bytes and not getattr(message, "chunked", False)):
            return b""
        return data.rpartition(b"\r\n\r\n")[2]

    def _watch_body(self) -> None:
        """Stop the header's timer and watch the newest request's body instead."""
        self._headers_seen = self._request_count
        self._header_started = False
        self._stop_header_timer()
        if self._rate is not None:
            self._rate.stop()
            if not self._rate.complete:
                # the framing of this body is broken; aiohttp reports that as a new request, not to its reader
                self._end_body(web.RequestPayloadError("the framing of the body is broken"))
        body = self._messages[-1][1]
        # of several requests parsed at once only the last can have an unfinished body
        self._rate = (
            None
            if body.is_eof()
            else MinimumRate(body, span=self._request_timeout, too_slow=self._body_too_slow)
        )

    def _start_header_timer(self) -> None:
        self._header_timer = self._loop.call_later(self._request_timeout, self._header_too_slow)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _header_too_slow(self) -> None:
        self._header_timer = None
        if self.transport is None or self.transport.is_closing():
            return
        if self._waiter is None:
            # the previous request is still being answered
            self._start_header_timer()
            return
        if self._header_started:
            detail = (
                f"the header was not complete within {self._request_timeout:g} s (server.request_timeout)"
            )
            self.transport.write(raw_problem(HTTPStatus.REQUEST_TIMEOUT, "request-too-slow", detail))
        self.force_close()

    def _body_too_slow(self) -> None:
        if self._messages and self._rate is not None:
            self._rate.restart()  # an earlier request is still being answered
        else:
            self._end_body(BodyTooSlow(self._request_timeout))

    def _end_body(self, error: Exception) -> None:
        """Fail the body, and close the connection after the answer."""
        assert self._rate is not None  # noqa: S101 - callers have checked it
        self._fail_body(self._rate.body, error)
        self._lingering_time = 0.0
        self.close()

    def _fail_body(self, body: StreamReader, error: Exception) -> None:
        """Fail present and later readers of a body, so that a part never passes for the whole."""
        if body is self._answered:
            body.feed_eof()  # aiohttp is dropping the rest
        else:
            body.set_exception(error)
