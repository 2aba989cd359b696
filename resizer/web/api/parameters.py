"""Parse what clients send in queries, form fields and headers. Everything here raises `OptionError`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from aiohttp import web

from resizer.config import CompressSettings
from resizer.errors import InvalidUrl, OptionError
from resizer.fetch.url_parser import parse_url
from resizer.recipe import BACKGROUND_EXPECTED, Effort, Fit, OutputFormat, Recipe, background_from

#: seconds; longest wait that `Prefer: wait=N` is granted
LONGEST_WAIT = 60
#: characters of an Idempotency-Key
LONGEST_KEY = 255
#: pixels; no image that can be decoded is larger
MAX_SIDE = 1_000_000
#: characters of a wrong value that are quoted
QUOTED = 200

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T")
#: parses a text that is not empty; its `ValueError` says what to use instead
Parser = Callable[[str], T]


def whole_number(least: int, most: int) -> Parser[int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"use a whole number from {least} to {most}")
        return int(text)

    return parse


def one_of(kind: type[S]) -> Parser[S]:
    def parse(text: str) -> S:
        if text not in set(kind):
            raise ValueError("use one of " + ", ".join(kind))
        return kind(text)

    return parse


def page_size(most: int) -> Parser[int]:
    """Return a parser that caps larger numbers at `most`: further pages hold the rest."""

    def parse(text: str) -> int:
        digits = text.lstrip("0")
        if not re.fullmatch(r"\d+", digits, re.ASCII):
            raise ValueError(f"use a whole number from 1 to {most}")
        return most if len(digits) > len(str(most)) else min(int(digits), most)

    return parse


def cursor(text: str) -> int:
    if not re.fullmatch(r"-1|\d{1,18}", text, re.ASCII):
        raise ValueError("use 'next' of the previous page")
    return int(text)


def flag(request: web.Request, name: str) -> bool:
    return query(request, name, _boolean, default=False)


def _boolean(text: str) -> bool:
    if text not in {"0", "1", "true", "false"}:
        raise ValueError("use 0 or 1")
    return text in {"1", "true"}


def _background(text: str) -> str:
    try:
        return background_from(text)
    except ValueError as error:
        raise ValueError(f"use {BACKGROUND_EXPECTED}") from error


def _webhook_url(text: str) -> str:
    try:
        parse_url(text)
    except InvalidUrl as error:
        raise ValueError(f"use an http or https URL ({error.reason})") from error
    return text


#: options of an upload, as query parameters or form fields; all but `webhook_url` are fields of `Recipe`
UPLOAD_OPTIONS: Mapping[str, Parser[Any]] = {
    "webhook_url": _webhook_url,
    "quality": whole_number(1, 100),
    "format": one_of(OutputFormat),
    "effort": one_of(Effort),
    "max_width": whole_number(0, MAX_SIDE),
    "max_height": whole_number(0, MAX_SIDE),
    "fit": one_of(Fit),
    "background": _background,
}


def query(request: web.Request, name: str, parser: Parser[T], *, default: T) -> T:
    """Return a query parameter; an empty one counts as left out."""
    values = request.query.getall(name, ())
    if len(values) > 1:
        raise OptionError(name, ", ".join(values)[:QUOTED], "give it once")
    return _parsed(name, values[0], parser) if values and values[0] else default


def query_options(request: web.Request) -> dict[str, Any]:
    """Return the upload options of the query."""
    fields = {name: query(request, name, str.strip, default="") for name in UPLOAD_OPTIONS}
    return form_options(fields)


def form_options(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the upload options among the fields; empty ones count as left out."""
    return {
        name: _parsed(name, text, parser)
        for name, parser in UPLOAD_OPTIONS.items()
        if (text := fields.get(name))
    }


def recipe_from(options: Mapping[str, Any], settings: CompressSettings) -> Recipe:
    """Return the configured recipe with the upload's options applied."""
    changes = {name: value for name, value in options.items() if name != "webhook_url"}
    recipe = replace(settings.recipe(), **changes)
    if fault := recipe.box_fault(settings.max_pixels):
        raise OptionError("fit", str(recipe.fit), fault)
    return recipe


def preferred_wait(request: web.Request) -> int | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), at most `LONGEST_WAIT`."""
    for preference in ",".join(request.headers.getall("Prefer", ())).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and re.fullmatch(r'\s*"?\d{1,9}"?\s*', value):
            return min(int(value.strip().strip('"')), LONGEST_WAIT)
    return None


def idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key.strip()) <= LONGEST_KEY or not key.isascii():
        shown = key[:64].encode("ascii", "replace").decode()
        raise OptionError("Idempotency-Key", shown, f"use a text of 1 to {LONGEST_KEY} ASCII characters")
    return key.strip()


def _parsed(name: str, text: str, parser: Parser[T]) -> T:
    try:
        return parser(text)
    except ValueError as error:
        raise OptionError(name, text[:QUOTED], str(error)) from error
