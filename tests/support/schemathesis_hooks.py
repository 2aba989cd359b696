"""Hooks for what a schema cannot express: valid CSVs, and keys used once."""

from __future__ import annotations

import csv
import io
import os
import re
import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case

#: URLs of a host with images, one of them broken
ORIGIN = os.environ["IMAGES_ORIGIN"]
URLS = st.sampled_from([f"{ORIGIN}/{name}" for name in ("a.jpg", "b.png", "none.jpg")])
FIELD = re.compile(r"[\w.-]+", re.ASCII)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)


@st.composite
def catalogues(draw: st.DrawFn) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    for number in range(draw(st.integers(1, 3))):
        urls = draw(st.lists(URLS, min_size=1, max_size=2))
        writer.writerow([number, f"P{draw(WORDS)}", ",".join(urls)])
    return buffer.getvalue()


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Give CSVs a format with a generator; schemathesis generates none for the media type."""
    del context
    bodies = raw_schema["paths"]["/upload"]["post"]["requestBody"]["content"]
    for schema in (
        bodies["text/csv"]["schema"],
        bodies["multipart/form-data"]["schema"]["properties"]["file"],
    ):
        schema["format"] = "csv"


schemathesis.openapi.format("csv", catalogues())


@schemathesis.serializer("text/csv")
def as_csv(context: Any, value: Any) -> bytes:
    """Send an example unchanged."""
    del context
    return value if isinstance(value, bytes) else str(value).encode()


schemathesis.openapi.format("uri", st.just(f"{ORIGIN}/hook"))


@schemathesis.hook
def map_case(context: Any, case: Case[Any]) -> Case[Any]:
    """Exclude invalid data that a schema cannot rule out."""
    del context
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    if case.headers and case.headers.get("Idempotency-Key"):
        # a second use with other content is refused, correctly
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    _give_a_box(case)
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        # an extra field's name is part of a header: not empty, no control characters
        case.body = {name: value for name, value in case.body.items() if FIELD.fullmatch(name)}
    return case


def _give_a_box(case: Case[Any]) -> None:
    """Give fits that need a box a small one; form fields override the query."""
    if case.operation.path != "/upload":
        return
    form = case.body if isinstance(case.body, dict) else {}
    for options in (case.query or {}, form):
        if "fit" in options or "max_width" in options or "max_height" in options:
            options.update(max_width=300, max_height=200)
