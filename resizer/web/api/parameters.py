"""What clients say in queries and headers, checked."""

import re
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from resizer.errors import OptionError

#: seconds; longest wait that `Prefer: wait=N` is granted (contract, section 5)
LONGEST_WAIT = 60
#: characters
LONGEST_KEY = 255

S = TypeVar("S", bound=StrEnum)


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


def asked(request: web.Request, name: str) -> str:
    """Return a parameter of the query; empty is as if it were left out."""
    values = request.query.getall(name, ())
    if len(values) > 1:
        raise OptionError(name, ", ".join(values)[:200], "give it once")
    return values[0] if values else ""


def flag(request: web.Request, name: str) -> bool:
    value = asked(request, name)
    if value not in {"", "0", "1", "true", "false"}:
        raise OptionError(name, value[:200], "use 0 or 1")
    return value in {"1", "true"}


def page_limit(request: web.Request, default: int, most: int) -> int:
    """Return how many a page is to have; who asks for more than `most` gets that, and the rest after it."""
    text = asked(request, "limit") or str(default)
    digits = text.lstrip("0")
    if not re.fullmatch(r"\d+", digits, re.ASCII):
        raise OptionError("limit", text[:200], f"use a whole number from 1 to {most}")
    return most if len(digits) > len(str(most)) else min(int(digits), most)


def cursor(request: web.Request) -> int | None:
    text = asked(request, "after")
    if not text:
        return None
    if not re.fullmatch(r"-1|\d{1,18}", text, re.ASCII):
        raise OptionError("after", text[:200], "use what 'next' of the page before says")
    return int(text)


def wanted_status(request: web.Request, statuses: type[S]) -> S | None:
    text = asked(request, "status")
    if not text:
        return None
    if text not in set(statuses):
        raise OptionError("status", text[:200], "use one of " + ", ".join(statuses))
    return statuses(text)
