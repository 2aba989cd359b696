"""Types of single fields, with what their JSON schemas say beyond the Python type."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field, WithJsonSchema

# of `typing`, pydantic reads it from Python 3.12 on
from typing_extensions import TypedDict

Json = dict[str, Any]
T = TypeVar("T")

UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"

Count = Annotated[int, Field(ge=0)]
#: lines, columns and pixels
Positive = Annotated[int, Field(ge=1)]
HttpStatus = Annotated[int, Field(ge=100, le=999)]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "pattern": TIME})]
Url = Annotated[str, WithJsonSchema({"type": "string", "format": "uri", "pattern": "^https?://"})]


def doc(text: str) -> Any:
    """Describe a field in the OpenAPI document."""
    return Field(description=text)


RequestId = Annotated[
    str,
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": UUID}),
    doc("The request's id."),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """The beginnings of the URLs that clients get, without a slash at the end."""

    #: precedes `/status/…`
    origin: str
    #: precedes `/NAME` of a compressed image
    files: str


class PageBody(TypedDict, Generic[T]):
    """One page of a list."""

    data: Annotated[list[T], doc("The entries of this page.")]
    has_more: Annotated[bool, doc("Whether another page follows.")]
    next: Annotated[str | None, doc("Send it as `after` to get the next page; null on the last one.")]


def page_body(data: list[T], following: str | None) -> PageBody[T]:
    return {"data": data, "has_more": following is not None, "next": following}


def iso(seconds: float) -> str:
    """Format seconds since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_null(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)
