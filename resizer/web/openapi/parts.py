"""What descriptions of operations are put together from: parameters, headers, answers, problems."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from resizer.errors import ResizerError
from resizer.schemas import Json
from resizer.web.problems import PROBLEM_JSON, PROBLEMS

#: error → what it is to be found under in the document
ABOUT_BLANK = "about:blank"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    #: for programs that are made from the document
    name: str
    tag: str
    summary: str
    description: str
    #: by status
    answers: Mapping[int, Json]
    parameters: tuple[Json, ...] = ()
    body: Json | None = None
    #: errors of the service's own that this operation can end in
    errors: tuple[type[ResizerError], ...] = ()
    #: statuses of problems without a type of their own, and when they come
    plain: Mapping[int, str] = field(default_factory=dict)


def header(description: str, schema: Json, *, required: bool = True) -> Json:
    return {"description": description, "required": required, "schema": schema}


def answer(
    description: str, content: Json | None = None, *, headers: Mapping[str, Json] | None = None, **more: Any
) -> Json:
    built: Json = {"description": description, **more}
    if headers:
        built["headers"] = dict(headers)
    if content is not None:
        built["content"] = content
    return built


def as_json(name: str, example: Any) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}}


def query(name: str, description: str, schema: Json, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


def sent_header(name: str, description: str, schema: Json, **more: Any) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema, **more}


def or_empty(schema: Json) -> Json:
    """Let a parameter be empty, which is as if it were left out."""
    return {"anyOf": [schema, {"type": "string", "maxLength": 0}]}


def parameter_ref(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def links_to(*names: str) -> Json:
    return {"links": {name: {"$ref": f"#/components/links/{name}"} for name in names}}


def problem_answers(operation: Operation) -> dict[str, Json]:
    """Describe the problems that an operation can end in, by status; several may share one."""
    found: dict[int, list[tuple[str, str, Mapping[str, str]]]] = {}
    for status, when in operation.plain.items():
        found.setdefault(status, []).append((ABOUT_BLANK, when, {}))
    for error in operation.errors:
        known, name, headers = PROBLEMS[error]
        found.setdefault(int(known), []).append((urn(name), when_of(error), headers))
    return {str(status): _problem_answer(status, kinds) for status, kinds in sorted(found.items())}


def urn(name: str) -> str:
    return f"urn:resizer:problem:{name}"


def when_of(error: type[ResizerError]) -> str:
    return (error.__doc__ or error.__name__).partition("\n")[0]


def problem_schema(kinds: Iterable[str], status: int) -> Json:
    properties: dict[str, Json] = {
        "type": {"type": "string", "enum": list(dict.fromkeys(kinds)), "description": "For programs."},
        "title": {"type": "string", "description": "The kind of problem, for a person."},
        "status": {"const": status, "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong here, and what would be right."},
    }
    required = [*properties]
    if urn("csv-refused") in properties["type"]["enum"]:
        properties["errors"] = {
            "type": "array",
            "maxItems": 100,
            "items": {"$ref": "#/components/schemas/CsvProblem"},
            "description": "Where a CSV was refused: the first 100 things wrong with it.",
        }
    if urn("not-ready") in properties["type"]["enum"]:
        properties["failing"] = {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names of the parts that cannot do their work.",
        }
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _problem_answer(status: int, kinds: list[tuple[str, str, Mapping[str, str]]]) -> Json:
    told = [f"`{kind}`: {when}" for kind, when, _ in kinds]
    # a header is certain only where every kind of the status has it
    headers = {
        name: header(
            "Seconds after which it is worth trying again." if name == "Retry-After" else HEADERS_TOLD[name],
            {"type": "integer", "minimum": 0} if name == "Retry-After" else {"type": "string"},
            required=all(name in each for _, _, each in kinds),
        )
        for name in sorted({name for _, _, each in kinds for name in each if name != "Connection"})
    }
    phrase = HTTPStatus(status).phrase
    example = {"type": kinds[0][0], "title": phrase, "status": status, "detail": kinds[0][1]}
    content = {
        PROBLEM_JSON: {"schema": problem_schema([kind for kind, _, _ in kinds], status), "example": example}
    }
    return answer("\n\n".join([f"{phrase}.", *told]), content, headers=headers)


#: of the headers that problems carry
HEADERS_TOLD = {"Accept-Encoding": "What the body may be encoded with."}
