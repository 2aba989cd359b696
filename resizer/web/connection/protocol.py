"""One connection: who sends no request, or sends it at no pace, does not keep it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from aiohttp import StreamReader, hdrs, web

from resizer.errors import BodyTooSlow, OutOfResources
from resizer.version import SERVER
from resizer.web.connection.access_log import AccessLogger
from resizer.web.connection.pace import Pace
from resizer.web.connection.taking import Taking
from resizer.web.problems import out_of_resources, problem, problem_of, raw_problem

logger = logging.getLogger(__name__)

#: seconds that a connection may idle between two requests; longer than proxies keep theirs
KEEPALIVE = 75.0
#: seconds for which a body that nobody wants is read on, so that the client comes to read the answer
LINGERING = 5.0
#: how many times `server.request_timeout` a client may take nothing of its answer: one that reads slowly into
#: a large buffer gives no sign for that long
TAKING_SPANS = 4


class Protocol(web.RequestHandler):
    """aiohttp's, with a clock for the headers and one for the body, and problem documents throughout.

    Bodies come as they were sent: whoever reads one undoes its Content-Encoding.
    """

    __slots__ = (
        "_answered",
        "_begun",
        "_header_clock",
        "_left",
        "_pace",
        "_seen",
        "_taking",
        "_tell_lost",
        "_timeout",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        access_log: logging.Logger,
        request_timeout: float,
        left: Callable[[], None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=access_log,
            access_log_class=AccessLogger,
            keepalive_timeout=max(KEEPALIVE, request_timeout),
            lingering_time=min(LINGERING, request_timeout),
            auto_decompress=False,
        )
        self._timeout = request_timeout
        self._left = left
        self._header_clock: asyncio.TimerHandle | None = None
        #: something of the next request's header is there
        self._begun = False
        #: requests whose header was seen to end
        self._seen = 0
        self._pace: Pace | None = None
        #: body of the request that was answered last
        self._answered: StreamReader | None = None
        #: called when the connection is lost
        self._tell_lost: Callable[[], object] | None = None

    @contextmanager
    def when_lost(self, tell: Callable[[], object]) -> Iterator[None]:
        """Call `tell` once if the connection is lost within; for whoever answers its request."""
        self._tell_lost = tell
        if self.transport is None:
            tell()
        try:
            yield
        finally:
            self._tell_lost = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's is one
        self._taking = Taking(transport, span=TAKING_SPANS * self._timeout)
        self._start_header_clock()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_header_clock()
        self._taking.stop()
        if self._pace is not None:
            self._pace.stop()
        if self._tell_lost is not None:
            self._tell_lost()
        handling: asyncio.Task[None] | None = self._task_handler
        super().connection_lost(exc)
        if self._pace is not None and not self._pace.over and self._current_request is None:
            # aiohttp tells only who is at work on the request
            self._fail_body(self._pace.body, ConnectionResetError("the client has gone"))
        if handling is None or handling.done():
            self._left()
        else:
            # the place is taken for as long as someone works for the client that has gone
            handling.add_done_callback(lambda _: self._left())

    def data_received(self, data: bytes) -> None:
        between_requests = self._pace is None or self._pace.over
        super().data_received(data)
        if self._header_has_ended():
            following = self._after_last_request(data)
            self._turn_to_body()
        else:
            following = data if between_requests else b""
        # some clients end a body with a line break too many, which begins nothing
        if not self._begun and following.strip(b"\r\n"):
            self._begun = True
            if self._header_clock is None:
                self._start_header_clock()

    def pause_reading(self) -> None:
        super().pause_reading()
        if self._pace is not None:
            self._pace.pause()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        super().resume_reading(resume_parser)
        if self._pace is not None and not self._reading_paused:
            self._pace.resume()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._answered = request.content
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            resp = problem_of(resp)  # raised before any middleware: an Expect that nobody can meet
        if isinstance(resp, web.Response) and not resp.prepared and not request.content.is_eof():
            resp.force_close()
        try:
            return await super().finish_response(request, resp, start_time)
        except OutOfResources as error:
            # nothing was sent of the file that could not be opened
            return await super().finish_response(request, out_of_resources(error), start_time)
        except TimeoutError as error:
            raise ConnectionError("the system has given the client up") from error
        finally:
            # an upgrade that was declined is followed by what came behind it
            if self._header_has_ended():
                self._turn_to_body()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        # not what was sent: it may be half a header with a token in it
        logger.debug("%s sent what is no request: %s", request.remote, type(exc).__name__)
        known = HTTPStatus(status)
        response = problem(
            known,
            None,
            f"this cannot be read as a request: {known.description or known.phrase}",
            headers={hdrs.SERVER: SERVER},  # no application has seen it, which would add this
        )
        response.force_close()
        return response

    def _header_has_ended(self) -> bool:
        return self._request_count != self._seen

    def _after_last_request(self, data: bytes) -> bytes:
        """Return what came behind the last request, as far as its end is to be seen."""
        message, body = self._messages[-1]
        # a body of a given length may hold blank lines; all else ends with one
        if not body.is_eof() or (body.total_bytes and not getattr(message, "chunked", False)):
            return b""
        return data.rpartition(b"\r\n\r\n")[2]

    def _turn_to_body(self) -> None:
        """Stop the header's clock, and watch the body instead."""
        self._seen = self._request_count
        self._begun = False
        self._stop_header_clock()
        if self._pace is not None:
            self._pace.stop()
            if not self._pace.over:
                # what follows a body that has not ended is no request: its framing is broken, which aiohttp
                # tells whoever comes next, and not the one who reads on
                self._end_body(web.RequestPayloadError("the body's framing is broken"))
        body = self._messages[-1][1]
        # of several requests at once only the last can lack a part of its body
        self._pace = (
            None if body.is_eof() else Pace(body, span=self._timeout, too_slow=self._body_is_too_slow)
        )

    def _start_header_clock(self) -> None:
        self._header_clock = self._loop.call_later(self._timeout, self._header_is_late)

    def _stop_header_clock(self) -> None:
        if self._header_clock is not None:
            self._header_clock.cancel()
            self._header_clock = None

    def _header_is_late(self) -> None:
        self._header_clock = None
        if self.transport is None or self.transport.is_closing():
            return
        if self._waiter is None:
            # the request before is still being answered
            self._start_header_clock()
            return
        if self._begun:
            detail = f"the header did not end within {self._timeout:g} s (server.request_timeout)"
            self.transport.write(raw_problem(HTTPStatus.REQUEST_TIMEOUT, "request-too-slow", detail))
        self.force_close()

    def _body_is_too_slow(self) -> None:
        if self._messages and self._pace is not None:
            self._pace.restart()  # it is not its turn yet
        else:
            self._end_body(BodyTooSlow(self._timeout))

    def _end_body(self, fault: Exception) -> None:
        """Fail the body, and close after the answer."""
        assert self._pace is not None  # noqa: S101 - there is a body
        self._fail_body(self._pace.body, fault)
        self._lingering_time = 0.0
        self.close()

    def _fail_body(self, body: StreamReader, fault: Exception) -> None:
        """Fail whoever reads the body, or is about to: what is cut off must not be taken for whole."""
        if body is self._answered:
            body.feed_eof()  # what is left of it is being read off
        else:
            body.set_exception(fault)
