"""Schemas as lists of fields, each with its type in a few words."""

from collections.abc import Iterator

from resizer.schemas.fields import Json
from resizer.web.openapi.docs.html import Html, definitions, joined, tag


def fields_of(schema: Json) -> Html:
    """List an object's fields; those of nested objects by their path."""
    return definitions((path, type_of(field), field.get("description", "")) for path, field in _flat(schema))


def _flat(schema: Json, before: str = "") -> Iterator[tuple[str, Json]]:
    for name, field in schema.get("properties", {}).items():
        yield before + name, field
        yield from _flat(field, f"{before}{name}.")


def type_of(schema: Json) -> Html:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return tag("a", name, href=f"#schema-{name}")
    if "anyOf" in schema:
        return joined([type_of(schema["anyOf"][0]), " or empty"])
    if "items" in schema:
        return joined(["list of ", type_of(schema["items"])])
    return joined([_words(schema)])


def _words(schema: Json) -> str:
    if "const" in schema:
        return f"always {schema['const']}"
    if "enum" in schema:
        return " | ".join("null" if value is None else str(value) for value in schema["enum"])
    kinds = schema.get("type", "string")
    first, *others = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join([schema.get("format", first), *others]) + _bounds(schema)


def _bounds(schema: Json) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f", {schema['minimum']} to {schema['maximum']}"
    if schema.get("minimum", 0) > 0:
        return f", {schema['minimum']} or more"
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
