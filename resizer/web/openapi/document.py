"""The whole API as one OpenAPI 3.1 document, put together from its parts."""

from http import HTTPStatus

from resizer.config import Settings
from resizer.errors import CrossOrigin, DatabaseFailure, HostNotAllowed, OutOfResources
from resizer.schemas import Json
from resizer.support.cross_site import SAFE_METHODS
from resizer.version import VERSION
from resizer.web.connection.auth import OPEN_PATHS, OPEN_PREFIXES
from resizer.web.openapi.events import webhooks
from resizer.web.openapi.following import FOLLOWING
from resizer.web.openapi.parts import (
    ABOUT_BLANK,
    Operation,
    answer,
    header,
    problem_answers,
    problem_schema,
    urn,
)
from resizer.web.openapi.results import RESULTS
from resizer.web.openapi.schemas import SCHEMAS, closed, count, text
from resizer.web.openapi.service import SERVICE
from resizer.web.openapi.shared import LINKS, PARAMETERS
from resizer.web.openapi.uploading import upload
from resizer.web.problems import PROBLEM_JSON

INTRODUCTION = """\
Send a CSV of products and image URLs; get the images compressed and the CSV back with their new URLs.

Upload the CSV, then wait: with `Prefer: wait=60` on its status, with server-sent events, or for a webhook.
Then take the result. Everything that an upload was answered with survives a crash of the server.

Times are ISO 8601 in UTC with `Z`, sizes bytes, URLs absolute. `HEAD` is answered wherever `GET` is,
`OPTIONS` tells the methods of a path, any other method is answered 405 with `Allow`. Query parameters that
are not listed are ignored; one that is given twice is refused.

Errors are `application/problem+json` (RFC 9457): `type` is for programs and listed here, `detail` says to a
person what is wrong and what would be right."""

TAGS = {
    "Requests": "A request is one uploaded CSV and all work that it asks for.",
    "Results": "What a request leaves.",
    "Webhooks": "Events that the service sends, and how their delivery went.",
    "Service": "The service itself.",
}
CSV_PROBLEM = closed(
    "One thing wrong with a CSV and where it stands.",
    {
        "line": count("Line of the file, from 1.", minimum=1),
        "column": count("Column of the line, from 1.", minimum=1),
        "message": text("What is wrong."),
    },
)


def operations(settings: Settings) -> list[Operation]:
    return [upload(settings.server.max_upload_size), *FOLLOWING, *RESULTS, *SERVICE]


def is_open(path: str) -> bool:
    """Tell whether a path wants no token even where tokens are set."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


def describe(settings: Settings, *, origin: str) -> Json:
    """Return the document for a client that knows the service under this origin."""
    closed_to_strangers = bool(settings.server.api_tokens)
    paths: dict[str, Json] = {}
    for operation in operations(settings):
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, closed_to_strangers)
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "resizer",
            "version": VERSION,
            "summary": "Compresses the images of product catalogues.",
            "description": INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": origin, "description": "This service."}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": {**SCHEMAS, "CsvProblem": CSV_PROBLEM},
            "parameters": PARAMETERS,
            "responses": _shared_answers(closed_to_strangers),
            "links": LINKS,
        },
    }
    if closed_to_strangers:
        document["components"]["securitySchemes"] = {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "One of the server's tokens: `Authorization: Bearer TOKEN`.",
            }
        }
        document["security"] = [{"token": []}]
    return document


def _described(operation: Operation, closed_to_strangers: bool) -> Json:  # noqa: FBT001 - a fact of the server
    described: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = operation.body
    shared = {"400": "Unreadable", "421": "OtherHost", "500": "Fault", "503": "Busy"}
    if operation.method.upper() not in SAFE_METHODS:
        shared["403"] = "OtherOrigin"
    if closed_to_strangers and is_open(operation.path):
        described["security"] = []
    elif closed_to_strangers:
        shared["401"] = "NoToken"
    answers = {status: {"$ref": f"#/components/responses/{name}"} for status, name in shared.items()}
    answers |= problem_answers(operation)
    answers |= {str(status): each for status, each in operation.answers.items()}
    described["responses"] = dict(sorted(answers.items()))
    return described


def _shared_answers(closed_to_strangers: bool) -> dict[str, Json]:  # noqa: FBT001 - a fact of the server
    """Describe the answers that any operation can have."""
    retry = header("Seconds after which to try again.", {"type": "integer", "minimum": 0})
    shared = {
        "Unreadable": _problem(
            400, [ABOUT_BLANK], "It cannot be read as a request, or its `Host` is no host name."
        ),
        "OtherHost": _problem(421, [urn("host-not-allowed")], str(HostNotAllowed.__doc__)),
        "OtherOrigin": _problem(403, [urn("cross-origin")], str(CrossOrigin.__doc__)),
        "Fault": _problem(500, [ABOUT_BLANK], "A fault of the service; its log has the details."),
        "Busy": _problem(
            503,
            [urn("too-many-connections"), urn("out-of-resources"), urn("database-unavailable")],
            f"`{urn('too-many-connections')}`: the server has as many connections open as it may.\n\n"
            f"`{urn('out-of-resources')}`: {OutOfResources.__doc__}\n\n"
            f"`{urn('database-unavailable')}`: {DatabaseFailure.__doc__}",
            headers={"Retry-After": retry},
        ),
    }
    if closed_to_strangers:
        shared["NoToken"] = _problem(
            401,
            [ABOUT_BLANK],
            "The request carries no token of this server's.",
            headers={"WWW-Authenticate": header("`Bearer`.", {"type": "string", "pattern": "^Bearer"})},
        )
    return shared


def _problem(status: int, kinds: list[str], told: str, *, headers: dict[str, Json] | None = None) -> Json:
    example = {"type": kinds[0], "title": HTTPStatus(status).phrase, "status": status, "detail": "…"}
    content = {PROBLEM_JSON: {"schema": problem_schema(kinds, status), "example": example}}
    return answer(f"{HTTPStatus(status).phrase}.\n\n{told}", content, headers=headers)
