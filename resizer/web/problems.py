"""Errors as `application/problem+json` (RFC 9457): one table, one middleware."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from resizer.errors import (
    AlreadyFinal,
    BatchNotFound,
    BodyTooSlow,
    CatalogError,
    CrossOrigin,
    DatabaseFailure,
    HostNotAllowed,
    IdempotencyConflict,
    InvalidUrl,
    NoSpace,
    NotFinished,
    NothingToRetry,
    NothingToSend,
    OptionError,
    OriginalUnavailable,
    OutOfResources,
    QueueFull,
    ResizerError,
    SpoolFailure,
    StorageFailure,
    UnsupportedBody,
    UnsupportedEncoding,
    UploadError,
    UploadTooLarge,
    shortage,
)
from resizer.schemas.service_bodies import ProblemBody, ProblemFacts
from resizer.support.log_throttle import LogThrottle

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
#: seconds until a client may retry
RETRY_SOON = {"Retry-After": "1"}
RETRY_LATER = {"Retry-After": "30"}

_may_log = LogThrottle()

#: error → status, name of the problem, headers; subclasses precede their base
PROBLEMS: Mapping[type[ResizerError], tuple[HTTPStatus, str, Mapping[str, str]]] = {
    CatalogError: (HTTPStatus.UNPROCESSABLE_ENTITY, "csv-refused", {}),
    OptionError: (HTTPStatus.UNPROCESSABLE_ENTITY, "option-refused", {}),
    InvalidUrl: (HTTPStatus.UNPROCESSABLE_ENTITY, "option-refused", {}),
    IdempotencyConflict: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", {}),
    UnsupportedBody: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-body", {}),
    UnsupportedEncoding: (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-encoding",
        {"Accept-Encoding": "gzip, deflate"},
    ),
    BodyTooSlow: (HTTPStatus.REQUEST_TIMEOUT, "request-too-slow", {"Connection": "close"}),
    # the rest of the body is not read
    UploadTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large", {"Connection": "close"}),
    UploadError: (HTTPStatus.BAD_REQUEST, "not-a-csv-upload", {}),
    HostNotAllowed: (HTTPStatus.MISDIRECTED_REQUEST, "host-not-allowed", {}),
    CrossOrigin: (HTTPStatus.FORBIDDEN, "cross-origin", {}),
    BatchNotFound: (HTTPStatus.NOT_FOUND, "no-such-request", {}),
    OriginalUnavailable: (HTTPStatus.BAD_GATEWAY, "original-unavailable", {}),
    NotFinished: (HTTPStatus.CONFLICT, "not-finished", RETRY_SOON),
    NothingToRetry: (HTTPStatus.CONFLICT, "nothing-to-retry", {}),
    AlreadyFinal: (HTTPStatus.CONFLICT, "already-final", {}),
    NothingToSend: (HTTPStatus.CONFLICT, "nothing-to-send", {}),
    QueueFull: (HTTPStatus.TOO_MANY_REQUESTS, "queue-full", RETRY_LATER),
    NoSpace: (HTTPStatus.INSUFFICIENT_STORAGE, "no-space", RETRY_LATER),
    DatabaseFailure: (HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable", RETRY_LATER),
    OutOfResources: (HTTPStatus.SERVICE_UNAVAILABLE, "out-of-resources", RETRY_SOON),
    StorageFailure: (HTTPStatus.SERVICE_UNAVAILABLE, "storage-unavailable", RETRY_LATER),
    SpoolFailure: (HTTPStatus.SERVICE_UNAVAILABLE, "spool-unavailable", RETRY_LATER),
}


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem document; an unexpected one into a 500 without its text."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return problem_of(error)
    except tuple(PROBLEMS) as error:
        status, name, extra = next(entry for kind, entry in PROBLEMS.items() if isinstance(error, kind))
        facts: ProblemFacts = {}
        if isinstance(error, CatalogError):
            facts["errors"] = [
                {"line": each.line, "column": each.column, "message": each.message} for each in error.problems
            ]
        return problem(status, name, str(error), facts=facts, headers=extra)
    except Exception as error:
        if lacking := shortage(error):
            return out_of_resources(OutOfResources(lacking))
        # the path as sent: decoded it could contain a line break
        logger.exception("Cannot answer %s %s: unexpected error", request.method, request.rel_url.raw_path)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            None,
            "an internal error of the server, not of the request; see the server's log",
        )


def out_of_resources(error: OutOfResources) -> web.Response:
    """Answer 503 for lack of descriptors, threads or memory; log it once a minute."""
    if _may_log():
        logger.warning("Cannot handle requests: %s; answering 503", error.reason)
    status, name, headers = PROBLEMS[OutOfResources]
    return problem(status, name, str(error), headers=headers)


def problem_of(error: web.HTTPException) -> web.Response:
    """Return the problem document of an HTTP error."""
    status = HTTPStatus(error.status)
    # without a text of ours, aiohttp's is "404: Not Found"
    own = error.text if error.text and not error.text.startswith(f"{error.status}:") else None
    headers = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
    return problem(status, None, own or status.description or status.phrase, headers=headers)


def problem(
    status: HTTPStatus,
    name: str | None,
    detail: str,
    *,
    facts: ProblemFacts | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a problem document with further members `facts`; without a name its type is `about:blank`."""
    text = _text(status, name, detail, facts or {})
    return web.Response(status=status, text=text, content_type=PROBLEM_JSON, headers=headers)


def raw_problem(
    status: HTTPStatus, name: str, detail: str, *, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole response, for a connection without a request that is closed after it."""
    body = _text(status, name, detail, {}).encode()
    fields = {
        "Content-Type": f"{PROBLEM_JSON}; charset=utf-8",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **(headers or {}),
    }
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{key}: {value}" for key, value in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _text(status: HTTPStatus, name: str | None, detail: str, facts: ProblemFacts) -> str:
    body: ProblemBody = {
        "type": f"urn:resizer:problem:{name}" if name else "about:blank",
        "title": title_of(name) if name else status.phrase,
        "status": int(status),
        "detail": detail,
        **facts,
    }
    return json.dumps(body, ensure_ascii=False)


def title_of(name: str) -> str:
    title = " ".join("CSV" if word == "csv" else word for word in name.split("-"))
    return title[0].upper() + title[1:]
