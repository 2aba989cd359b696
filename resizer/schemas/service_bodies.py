"""The JSON of problems and of liveness."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from resizer.schemas.fields import HttpStatus, Positive, doc


class PingBody(TypedDict):
    """The server responds."""

    status: Annotated[Literal["pong"], doc("Always.")]


class HealthBody(TypedDict):
    """The service works."""

    status: Annotated[Literal["ok"], doc("Always.")]


class CsvProblem(TypedDict):
    """One problem of a CSV and its position."""

    line: Annotated[Positive, doc("Line of the file, from 1.")]
    column: Annotated[Positive, doc("Column of the line, from 1.")]
    message: Annotated[str, doc("The problem and its solution.")]


class ProblemFacts(TypedDict):
    """Members that some types of problems have in addition."""

    errors: NotRequired[
        Annotated[list[CsvProblem], Field(max_length=100), doc("The first problems of a refused CSV.")]
    ]
    failing: NotRequired[Annotated[list[str], doc("Names of the parts that do not work.")]]


class ProblemBody(ProblemFacts):
    """An error as `application/problem+json` (RFC 9457)."""

    type: Annotated[str, doc("For programs.")]
    title: Annotated[str, doc("The kind of problem, for people.")]
    status: Annotated[HttpStatus, doc("The HTTP status.")]
    detail: Annotated[str, doc("What is wrong in this case, and how to correct it.")]
