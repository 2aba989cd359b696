"""The service's own paths, described: does it live, what does it count, what can it do."""

from http import HTTPStatus

from resizer.schemas import Json
from resizer.web.openapi.parts import (
    Operation,
    answer,
    as_json,
    header,
    parameter_ref,
    problem_schema,
    sent_header,
    urn,
)
from resizer.web.openapi.shared import ETAG, NO_CACHE, NOSNIFF
from resizer.web.page import CONTENT_TYPES
from resizer.web.problems import PROBLEM_JSON

NOT_READY: Json = answer(
    f"{HTTPStatus.SERVICE_UNAVAILABLE.phrase}.\n\n`{urn('not-ready')}`: a part cannot do its work; "
    f"`failing` names it."
    f"\n\n`{urn('too-many-connections')}`: the server has as many connections open as it may.",
    {
        PROBLEM_JSON: {
            "schema": problem_schema([urn("not-ready"), urn("too-many-connections")], 503),
            "example": {
                "type": urn("not-ready"),
                "title": "Not ready",
                "status": 503,
                "detail": "storage: there is no space left on the disk",
                "failing": ["storage"],
            },
        }
    },
    headers={"Retry-After": header("Seconds after which to ask again.", {"type": "integer", "minimum": 0})},
)
#: files need no schema: they are what their type says
PAGE_TYPES: Json = {kind.partition(";")[0]: {} for kind in CONTENT_TYPES.values()}
PROMETHEUS: Json = {"schema": {"type": "string"}, "example": "resizer_images_waiting 12.0\n"}

PING = Operation(
    method="get",
    path="/ping",
    name="ping",
    tag="Service",
    summary="Is it there?",
    description="Answers `pong` for as long as the process answers at all.",
    answers={200: answer("It is.", as_json("Ping", {"status": "pong"}))},
)
HEALTH = Operation(
    method="get",
    path="/healthz",
    name="getHealth",
    tag="Service",
    summary="Does it live?",
    description="For a supervisor that restarts what has died; looks at nothing but the process itself.",
    answers={200: answer("It does.", as_json("Health", {"status": "ok"}))},
)
READY = Operation(
    method="get",
    path="/readyz",
    name="getReadiness",
    tag="Service",
    summary="Can it work?",
    description=(
        "For a load balancer: tries whether the database, the storage and the spool can be written to, and "
        "whether a "
        "compressing process is alive."
    ),
    answers={200: answer("It can.", as_json("Health", {"status": "ok"})), 503: NOT_READY},
)
METRICS = Operation(
    method="get",
    path="/metrics",
    name="getMetrics",
    tag="Service",
    summary="Metrics for Prometheus",
    description="What was counted since the start, and how things stand; as OpenMetrics where `Accept` "
    "asks for it.",
    answers={
        200: answer("The metrics.", {"text/plain": PROMETHEUS, "application/openmetrics-text": PROMETHEUS})
    },
)
DESCRIPTION = Operation(
    method="get",
    path="/openapi.json",
    name="getDescription",
    tag="Service",
    summary="This description",
    description="The API as an OpenAPI 3.1 document.",
    answers={
        200: answer(
            "The document.",
            {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"openapi": {"const": "3.1.0"}},
                        "required": ["openapi", "info", "servers", "paths", "components", "webhooks"],
                    }
                }
            },
        )
    },
)
DOCS = Operation(
    method="get",
    path="/docs",
    name="getDocumentation",
    tag="Service",
    summary="This description, for people",
    description="The same as a page, complete in itself: it loads nothing and runs nothing.",
    answers={
        200: answer(
            "The page.",
            {"text/html": {"schema": {"type": "string"}}},
            headers={
                "Content-Security-Policy": header("Nothing but the page's own style.", {"type": "string"})
            },
        )
    },
)
PAGE_HEADERS: Json = {
    "ETag": ETAG,
    "Cache-Control": NO_CACHE,
    "Content-Security-Policy": header("Nothing but what this server sends.", {"type": "string"}),
    "X-Content-Type-Options": NOSNIFF,
}
KNOWN = sent_header("If-None-Match", "The `ETag` of what is known.", {"type": "string"})
UNCHANGED: Json = answer("Nothing has changed.", headers=PAGE_HEADERS)
PAGE = Operation(
    method="get",
    path="/",
    name="getPage",
    tag="Service",
    summary="The web page",
    description="For people: uploads a CSV, follows it, and shows what became of its images.",
    parameters=(KNOWN,),
    answers={
        200: answer("The page.", {"text/html": {"schema": {"type": "string"}}}, headers=PAGE_HEADERS),
        304: UNCHANGED,
    },
)
PAGE_FILE = Operation(
    method="get",
    path="/page/{name}",
    name="getPageFile",
    tag="Service",
    summary="A file of the web page",
    description="What the page loads: scripts, styles and pictures, and a CSV to begin with.",
    parameters=(parameter_ref("PageFile"), KNOWN),
    answers={
        200: answer("The file.", PAGE_TYPES, headers=PAGE_HEADERS),
        304: UNCHANGED,
    },
    plain={404: "The page has no such file."},
)
SERVICE = (PING, HEALTH, READY, METRICS, DESCRIPTION, DOCS, PAGE, PAGE_FILE)
