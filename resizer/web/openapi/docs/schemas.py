"""Schemas for people: a table of fields, and a type in a few words."""

from resizer.schemas.fields import Json
from resizer.web.openapi.docs.html import Html, joined, paragraphs, prose, tag


def schema_section(name: str, schema: Json) -> Html:
    return tag(
        "article",
        tag("h3", tag("a", name, href=f"#schema-{name}")),
        paragraphs(schema.get("description", "")),
        fields_of(schema),
        id=f"schema-{name}",
    )


def fields_of(schema: Json) -> Html:
    """List an object's fields, those of objects within it by their path."""
    entries = [
        joined([tag("dt", tag("code", path), " ", tag("span", type_of(field), class_="type")), _told(field)])
        for path, field in _flat(schema)
    ]
    return tag("dl", *entries) if entries else Html()


def type_of(schema: Json) -> Html:
    """Say in a few words what a value can be."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return tag("a", name, href=f"#schema-{name}")
    if "anyOf" in schema:
        return joined([type_of(schema["anyOf"][0]), " or empty"])
    if "const" in schema:
        return joined([f"always {schema['const']}"])
    kinds = schema.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if "array" in kinds:
        return joined(["list of ", type_of(schema["items"])])
    if "enum" in schema:
        return joined([" | ".join("null" if value is None else str(value) for value in schema["enum"])])
    words = " or ".join([schema.get("format", kinds[0]), *kinds[1:]])
    return joined([words + _bounds(schema)])


def _bounds(schema: Json) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f", {schema['minimum']} to {schema['maximum']}"
    if "minimum" in schema and schema["minimum"] > 0:
        return f", {schema['minimum']} or more"
    if "maxLength" in schema:
        return f", at most {schema['maxLength']} characters"
    return ""


def _flat(schema: Json, before: str = "") -> list[tuple[str, Json]]:
    found = []
    for name, field in schema.get("properties", {}).items():
        found.append((before + name, field))
        found += _flat(field, f"{before}{name}.")
    return found


def _told(field: Json) -> Html:
    return tag("dd", prose(field.get("description", "")))
