"""Operations on the service itself: liveness, metrics, this description, the web page."""

from typing import Final

from resizer.schemas.fields import Json
from resizer.web.openapi.parts import (
    ETAG,
    IF_NONE_MATCH,
    NO_CACHE,
    NOSNIFF,
    Kind,
    Operation,
    header,
    json_response,
    response,
)
from resizer.web.openapi.problem_responses import TOO_MANY_CONNECTIONS
from resizer.web.page import CONTENT_TYPES
from resizer.web.problems import RETRY_SOON

NOT_READY: Final = Kind("not-ready", "A part does not work; `failing` names it.", RETRY_SOON)
#: files have no schema
PAGE_FILES: Final[Json] = {kind.partition(";")[0]: {} for kind in CONTENT_TYPES.values()}
METRICS: Final[Json] = {"schema": {"type": "string"}, "example": "resizer_images_waiting 12.0\n"}
HTML: Final[Json] = {"text/html": {"schema": {"type": "string"}}}
DOCUMENT: Final[Json] = {
    "type": "object",
    "properties": {"openapi": {"const": "3.1.0"}},
    "required": ["openapi", "info", "servers", "paths", "components", "webhooks"],
}
OWN_STYLE: Final = header("Only the page's own style is allowed.")
PAGE_HEADERS: Final = {
    "ETag": ETAG,
    "Cache-Control": NO_CACHE,
    "Content-Security-Policy": header("Only content from this server is allowed."),
    "X-Content-Type-Options": NOSNIFF,
}
UNCHANGED: Final = response("The client has this version.", headers=PAGE_HEADERS)

SERVICE: Final = (
    Operation(
        "GET /ping",
        "ping",
        "Ping the server",
        "Responds while the process responds at all.",
        responses={200: json_response("The server responds.", "Ping")},
    ),
    Operation(
        "GET /healthz",
        "getHealth",
        "Check liveness",
        "For a supervisor that restarts a dead process; checks only the process itself.",
        responses={200: json_response("The process is alive.", "Health")},
    ),
    Operation(
        "GET /readyz",
        "getReadiness",
        "Check readiness",
        "For a load balancer: checks whether the database, the storage and the spool can be written to, and "
        "whether a compressing process is alive.",
        responses={200: json_response("Every part works.", "Health")},
        problems={503: (NOT_READY, TOO_MANY_CONNECTIONS)},
    ),
    Operation(
        "GET /metrics",
        "getMetrics",
        "Get metrics for Prometheus",
        "Counters since the start, and current values; as OpenMetrics if `Accept` asks for it.",
        responses={
            200: response("The metrics.", {"text/plain": METRICS, "application/openmetrics-text": METRICS})
        },
    ),
    Operation(
        "GET /openapi.json",
        "getDescription",
        "Get this description",
        "The API as an OpenAPI 3.1 document.",
        responses={200: response("The document.", {"application/json": {"schema": DOCUMENT}})},
    ),
    Operation(
        "GET /docs",
        "getDocumentation",
        "Read this description",
        "The same as a web page, which loads nothing else and runs no script.",
        responses={200: response("The page.", HTML, headers={"Content-Security-Policy": OWN_STYLE})},
    ),
    Operation(
        "GET /",
        "getPage",
        "Open the web page",
        "For people: uploads a CSV, follows the request, and shows its images.",
        parameters=(IF_NONE_MATCH,),
        responses={200: response("The page.", HTML, headers=PAGE_HEADERS), 304: UNCHANGED},
    ),
    Operation(
        "GET /page/{name}",
        "getPageFile",
        "Get a file of the web page",
        "The scripts, styles and pictures of the page, and a sample CSV.",
        parameters=(IF_NONE_MATCH,),
        responses={200: response("The file.", PAGE_FILES, headers=PAGE_HEADERS), 304: UNCHANGED},
        problems={404: (Kind(None, "The page has no such file."),)},
    ),
)
