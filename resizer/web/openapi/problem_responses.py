"""Responses with a problem: those of single operations by their errors, and those that any may have."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from resizer.errors import BatchNotFound, CrossOrigin, DatabaseFailure, HostNotAllowed, OutOfResources
from resizer.schemas.fields import Json
from resizer.web.openapi.components import all_schemas
from resizer.web.openapi.parts import SECONDS, Kind, Operation, header, response
from resizer.web.problems import PROBLEM_JSON, PROBLEMS, RETRY_SOON, title_of

HEADERS: Final[Mapping[str, Json]] = {
    "Retry-After": header("Seconds until a retry is worthwhile.", SECONDS),
    "Accept-Encoding": header("The accepted encodings of a body."),
    "WWW-Authenticate": header("`Bearer`.", {"type": "string", "pattern": "^Bearer"}),
}
#: members that only one type of problem has: its name, and an example
MEMBERS: Final[Mapping[str, tuple[str, Any]]] = {
    "errors": ("csv-refused", [{"line": 3, "column": 2, "message": "the product has no name"}]),
    "failing": ("not-ready", ["storage"]),
}


TOO_MANY_CONNECTIONS: Final = Kind(
    "too-many-connections", "The server has reached its limit of open connections.", RETRY_SOON
)
#: by name in the document: status and kinds of problems that any operation can have
SHARED: Final[Mapping[str, tuple[int, list[Kind]]]] = {
    "BadRequest": (400, [Kind(None, "It is not valid HTTP, or its `Host` is not a host name.")]),
    "Unauthorized": (401, [Kind(None, "It carries none of the server's tokens.", ["WWW-Authenticate"])]),
    "OtherOrigin": (403, [Kind.of(CrossOrigin)]),
    "OtherHost": (421, [Kind.of(HostNotAllowed)]),
    "InternalError": (500, [Kind(None, "An error of the service; its log has the details.")]),
    "Unavailable": (503, [TOO_MANY_CONNECTIONS, Kind.of(OutOfResources), Kind.of(DatabaseFailure)]),
}


def problem_responses(operation: Operation) -> dict[int, Json]:
    """Describe the problems of an operation by status; several may share one."""
    found = {status: [*kinds] for status, kinds in operation.problems.items()}
    missing = (BatchNotFound,) if "{request_id}" in operation.route else ()
    for error in (*missing, *operation.errors):
        found.setdefault(int(PROBLEMS[error][0]), []).append(Kind.of(error))
    return {status: problem_response(status, kinds) for status, kinds in found.items()}


def problem_response(status: int, kinds: Sequence[Kind]) -> Json:
    phrase, first = HTTPStatus(status).phrase, kinds[0]
    headers = {
        # certain only if every kind of this status has it
        name: {**described, "required": all(name in kind.headers for kind in kinds)}
        for name, described in HEADERS.items()
        if any(name in kind.headers for kind in kinds)
    }
    title = title_of(first.name) if first.name else phrase
    example = {"type": first.type, "title": title, "status": status, "detail": first.when}
    example |= {member: value for member, (name, value) in MEMBERS.items() if name == first.name}
    description = "\n\n".join([f"{phrase}.", *(f"`{kind.type}`: {kind.when}" for kind in kinds)])
    content = {PROBLEM_JSON: {"schema": _schema(status, kinds), "example": example}}
    return response(description, content, headers=headers)


def _schema(status: int, kinds: Sequence[Kind]) -> Json:
    problem = all_schemas()["Problem"]
    names = {kind.name for kind in kinds}
    properties = {
        name: schema
        for name, schema in problem["properties"].items()
        if name not in MEMBERS or MEMBERS[name][0] in names
    }
    properties["type"] = {**properties["type"], "enum": list(dict.fromkeys(kind.type for kind in kinds))}
    properties["status"] = {"const": status, "description": properties["status"]["description"]}
    return {**problem, "properties": properties}
