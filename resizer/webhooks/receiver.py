"""The bundled receiver: receive, verify and list webhooks."""

import asyncio
import contextlib
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiofiles
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from resizer.config import is_signing_secret
from resizer.errors import ConfigError, SignatureError
from resizer.support.cross_site import (
    SAFE_METHODS,
    AllowedHosts,
    Authority,
    is_cross_origin,
    requested_authority,
)
from resizer.version import SERVER
from resizer.webhooks.signing import verify

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024  # bytes; an event has about one thousand
KEPT = 1000  # events listed and recognised when they are repeated

_DETAILS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "there are POST /webhook, GET /ping and GET /events",
    HTTPStatus.METHOD_NOT_ALLOWED: "there are POST /webhook, GET /ping and GET /events",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"the body is larger than {MAX_BODY} bytes",
}


@dataclass(kw_only=True, slots=True)
class Event:
    """An event, listed once however often it is received."""

    webhook_id: str
    type: str | None
    #: as its sender wrote it
    timestamp: str | None
    #: ISO 8601 in UTC; of the first time
    received_at: str
    #: times
    received: int
    data: Any

    @classmethod
    def of(cls, webhook_id: str, payload: dict[str, Any]) -> Self:
        return cls(
            webhook_id=webhook_id,
            type=payload.get("type"),
            timestamp=payload.get("timestamp"),
            received_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            received=1,
            data=payload.get("data"),
        )


class Journal:
    """The last events by id, and the file they are appended to."""

    def __init__(self, log: Path | None) -> None:
        self._log = log
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read the events of earlier runs. Raises `ConfigError`."""
        if self._log is None:
            return
        try:
            async with aiofiles.open(self._log, "a+b") as file:
                await file.seek(0)
                async for line in file:
                    # a line may be torn by a crash of the machine
                    with contextlib.suppress(ValueError, TypeError):
                        self._keep(Event(**json.loads(line)))
        except OSError as error:
            raise ConfigError.of(
                "--log",
                f"{self._log} cannot be used: {error.strerror}",
                "name a file in a folder that exists and can be written to",
            ) from error

    async def receive(self, webhook_id: str, payload: dict[str, Any]) -> bool:
        """Count an event; returns whether it is new. It is written to the file before it is listed."""
        async with self._lock:
            known = self._events.get(webhook_id)
            if known is not None:
                known.received += 1
                return False
            event = Event.of(webhook_id, payload)
            await self._append(event)
            self._keep(event)
            return True

    def newest_first(self) -> list[dict[str, Any]]:
        return [asdict(event) for event in reversed(self._events.values())]

    def _keep(self, event: Event) -> None:
        self._events[event.webhook_id] = event
        if len(self._events) > KEPT:
            self._events.popitem(last=False)

    async def _append(self, event: Event) -> None:
        if self._log is None:
            return
        line = json.dumps(asdict(event)).encode()
        async with aiofiles.open(self._log, "a+b") as file:
            # after a torn line begin a new one
            end = await file.seek(0, 2)
            if end:
                await file.seek(end - 1)
                if await file.read(1) != b"\n":
                    line = b"\n" + line
            await file.write(line + b"\n")


JOURNAL = web.AppKey("JOURNAL", Journal)
SECRET = web.AppKey("SECRET", str)

routes = web.RouteTableDef()


@routes.post("/webhook")
async def receive(request: web.Request) -> web.Response:
    body = await request.read()
    payload = verify(request.app[SECRET], request.headers, body)
    webhook_id = request.headers["webhook-id"]
    new = await request.app[JOURNAL].receive(webhook_id, payload)
    logger.info("received %s %s%s", payload.get("type"), webhook_id, "" if new else " (repeated)")
    return web.Response(status=HTTPStatus.NO_CONTENT)


@routes.get("/ping")
async def ping(request: web.Request) -> web.Response:
    del request
    return web.json_response({"status": "pong"})


@routes.get("/events")
async def events(request: web.Request) -> web.Response:
    return web.json_response({"data": request.app[JOURNAL].newest_first()})


def refuse_other_sites(hosts: AllowedHosts) -> Middleware:
    """Return middleware that keeps pages of other sites from reading events.

    A webhook is authenticated by its signature, so its sender may use any name of the receiver.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = requested_authority(request.method, request.raw_path, request.headers)
        if request.method not in SAFE_METHODS:
            if is_cross_origin(request.headers, [asked or ""]):
                return _problem(HTTPStatus.FORBIDDEN, "a page of another origin sent this request")
        elif asked is not None or request.version >= HttpVersion11:
            authority = Authority.of(asked or "")
            if authority is None:
                return _problem(HTTPStatus.BAD_REQUEST, "the Host header is not a host name")
            if not hosts.allow(authority.host, _local_address(request)):
                return _problem(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    f"this receiver does not answer for {authority.host[:255]}; if that is one of its names, "
                    "add it to server.allowed_hosts",
                )
        return await handler(request)

    return middleware


def _local_address(request: web.Request) -> str:
    sockname = request.transport.get_extra_info("sockname") if request.transport else None
    return str(sockname[0]) if isinstance(sockname, tuple) else ""


async def name_server(request: web.Request, response: web.StreamResponse) -> None:
    """Set the Server header, without the versions that aiohttp would add."""
    del request
    response.headers[hdrs.SERVER] = SERVER


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond to every error with application/problem+json."""
    try:
        return await handler(request)
    except SignatureError as error:
        logger.warning("%s", error)
        return _problem(HTTPStatus.BAD_REQUEST, str(error))
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return _problem(HTTPStatus(error.status), _DETAILS.get(error.status, error.reason), allow)
    except web.RequestPayloadError as error:
        return _problem(HTTPStatus.BAD_REQUEST, f"the body cannot be read: {error}")
    except Exception:
        logger.exception("cannot respond to %s %s", request.method, request.path)
        return _problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "an internal error; the receiver's log has the details"
        )


def _problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )


def create_receiver(
    secret: str, log: Path | None = None, *, hosts: AllowedHosts | None = None
) -> web.Application:
    """Return the receiver; it appends new events to `log` as lines of JSON.

    It answers for `hosts`, by default those of a server on loopback. Raises `ConfigError` for a malformed
    secret, and at its start if the log cannot be used.
    """
    if not is_signing_secret(secret):
        raise ConfigError.of("--secret", "it is not a signing secret", "give whsec_ and base64")
    guard = refuse_other_sites(hosts or AllowedHosts("127.0.0.1"))
    app = web.Application(middlewares=[problems, guard], client_max_size=MAX_BODY)
    app.on_response_prepare.append(name_server)
    app[SECRET] = secret
    app[JOURNAL] = Journal(log)
    app.cleanup_ctx.append(_load)
    app.add_routes(routes)
    return app


async def _load(app: web.Application) -> AsyncIterator[None]:
    await app[JOURNAL].load()
    yield
