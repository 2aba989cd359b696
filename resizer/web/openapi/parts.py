"""The building blocks of operations: parameters, headers and responses."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from resizer.errors import ResizerError
from resizer.schemas.fields import UUID, Json
from resizer.storage.base import NAME
from resizer.web.openapi.examples import EXAMPLES, FILE_NAME, REQUEST_ID
from resizer.web.problems import PROBLEMS

TEXT: Final[Json] = {"type": "string"}
SECONDS: Final[Json] = {"type": "integer", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of problem; without a name it is `about:blank`."""

    name: str | None
    when: str
    #: names of its headers
    headers: Collection[str] = ()

    @classmethod
    def of(cls, error: type[ResizerError]) -> Self:
        _, name, headers = PROBLEMS[error]
        return cls(name, (error.__doc__ or "").partition("\n")[0], headers)

    @property
    def type(self) -> str:
        return f"urn:resizer:problem:{self.name}" if self.name else "about:blank"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, without its path parameters and the responses that all operations share."""

    #: method and path
    route: str
    #: `operationId`, from which client generators name a function
    name: str
    summary: str
    description: str
    #: by status
    responses: Mapping[int, Json] = field(kw_only=True)
    parameters: tuple[Json, ...] = field(default=(), kw_only=True)
    body: Json | None = field(default=None, kw_only=True)
    errors: tuple[type[ResizerError], ...] = field(default=(), kw_only=True)
    #: further problems, by status
    problems: Mapping[int, tuple[Kind, ...]] = field(default_factory=dict, kw_only=True)


def query(name: str, description: str, schema: Json) -> Json:
    """Describe a query parameter; an empty one counts as left out."""
    return {"name": name, "in": "query", "description": description, "schema": or_empty(schema)}


def or_empty(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "string", "maxLength": 0}]}


def sent_header(name: str, description: str, schema: Json = TEXT, **more: Any) -> Json:
    """Describe a header of a request."""
    return {"name": name, "in": "header", "description": description, "schema": schema, **more}


def header(description: str, schema: Json = TEXT, *, required: bool = True) -> Json:
    """Describe a header of a response."""
    return {"description": description, "required": required, "schema": schema}


def response(
    description: str, content: Json | None = None, *, headers: Mapping[str, Json] | None = None, **more: Any
) -> Json:
    parts = {"headers": dict(headers or {}), "content": content, **more}
    return {"description": description, **{name: part for name, part in parts.items() if part}}


def json_response(
    description: str, name: str, *, headers: Mapping[str, Json] | None = None, **more: Any
) -> Json:
    """Describe a response with a published body, which has an example."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    content = {"application/json": {"schema": schema, "example": EXAMPLES[name]}}
    return response(description, content, headers=headers, **more)


def _in_path(name: str, description: str, schema: Json, example: Any) -> Json:
    parameter = {"name": name, "in": "path", "required": True}
    return {**parameter, "description": description, "schema": schema, "example": example}


#: by their name in paths
PATH_PARAMETERS: Final[Mapping[str, Json]] = {
    "request_id": _in_path(
        "request_id",
        "The `request_id` of the upload's response.",
        {"type": "string", "format": "uuid", "pattern": UUID},
        REQUEST_ID,
    ),
    "filename": _in_path(
        "filename",
        "32 hexadecimal digits, a hash of the source and the options, and an extension.",
        {"type": "string", "pattern": f"^{NAME.pattern}$"},
        FILE_NAME,
    ),
    "number": _in_path(
        "number",
        "The image's position among all images of the request, from 0.",
        {"type": "integer", "minimum": 0},
        0,
    ),
    "name": _in_path(
        "name",
        "The file's name.",
        {"type": "string", "pattern": r"^[a-z0-9-]+\.(css|csv|js|png|svg)$"},
        "sample.csv",
    ),
}
AFTER: Final = query(
    "after",
    "The value of `next` of the previous page. Requests added in the meantime do not shift the pages.",
    {"type": "string", "pattern": r"^(-1|[0-9]{1,18})$"},
)
IF_NONE_MATCH: Final = sent_header("If-None-Match", "The `ETag` of the version that the client has.")

ETAG: Final = header(
    "Changes with the body; send it as `If-None-Match`.", {"type": "string", "pattern": '^".+"$'}
)
LOCATION: Final = header("The request's `status_url`.", {"type": "string", "format": "uri"})
RETRY_AFTER: Final = header("Seconds until the next poll is worthwhile.", SECONDS, required=False)
NO_CACHE: Final = header("Caches must revalidate it.", {"const": "no-cache"})
NOSNIFF: Final = header("Browsers must not guess another type.", {"const": "nosniff"})
CONFINED: Final = header("It loads and runs nothing.", {"const": "default-src 'none'; sandbox"})

#: operations on the request whose body has a `request_id`
LINKS: Final = {
    name: {"operationId": name, "parameters": {"request_id": "$response.body#/request_id"}}
    for name in (
        "getStatus",
        "getResult",
        "listImages",
        "followRequest",
        "getArchive",
        "cancelRequest",
        "retryRequest",
        "deleteRequest",
        "listDeliveries",
        "sendDeliveriesAgain",
    )
}
TO_LINKS: Final = {name: {"$ref": f"#/components/links/{name}"} for name in LINKS}
