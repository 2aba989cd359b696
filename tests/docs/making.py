"""Generate parts of the documents from the code: run this after a change to the API or to a setting.

    python tests/docs/making.py

Text above the mark in a document is written by hand, text below it is generated.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from resizer.config import Settings
from resizer.web.openapi.document import describe

ROOT = Path(__file__).parents[2]
MARK = "<!-- generated below this line by tests/docs/making.py -->\n"
ORIGIN = "http://127.0.0.1:8080"
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = "application/problem+json"
#: responses of every operation, described once
SHARED = "#/components/responses/"
TABLE = re.compile(r"^\[(\w+)\]$")
KEY = re.compile(r"^(\w+) = (.*?)\s+#\s*(.*)$")

Json = dict[str, Any]


def api() -> str:
    document = describe(Settings(), origin=ORIGIN)
    return "\n".join(_api(document))


def _api(document: Json) -> Iterator[str]:
    operations = [
        (path, method, methods[method])
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
    ]
    for tag in document["tags"]:
        of_tag = [each for each in operations if tag["name"] in each[2]["tags"]]
        if of_tag:
            yield f"\n## {tag['name']}\n\n{tag['description']}"
        for path, method, operation in of_tag:
            yield from _operation(document, path, method, operation)
    yield "\n## Errors on any path\n"
    yield "| status | when |\n|---|---|"
    for each in document["components"]["responses"].values():
        status = each["content"][PROBLEM]["example"]["status"]
        yield f"| {status} | {_cell(_meaning(each))} |"
    yield "\n## Fields"
    for name, schema in document["components"]["schemas"].items():
        yield f"\n### {name}\n\n{schema.get('description', '')}\n"
        yield "| field | type | what it is |\n|---|---|---|"
        yield from _fields(schema)


def _operation(document: Json, path: str, method: str, operation: Json) -> Iterator[str]:
    yield f"\n### {method.upper()} {path}\n\n{operation['summary']}. {operation['description']}"
    body = operation.get("requestBody")
    if body:
        kinds = [f"`{kind}`" for kind in body["content"]]
        yield f"\nBody: {' or '.join(kinds)}. {body.get('description', '')}"
    parameters = [_resolved(document, each) for each in operation.get("parameters", ())]
    # path parameters are obvious from the path
    parameters = [each for each in parameters if each["in"] != "path"]
    if parameters:
        yield "\n| parameter | where | what it does |\n|---|---|---|"
        for each in parameters:
            yield f"| `{each['name']}` | {each['in']} | {_cell(each['description'])} |"
    yield "\n| answer | body | what it means |\n|---|---|---|"
    for status, response in operation["responses"].items():
        if response.get("$ref", "").startswith(SHARED):
            continue
        content = ", ".join(_content(kind, each) for kind, each in response.get("content", {}).items())
        yield f"| {status} | {content} | {_cell(_meaning(response))} |"


def _meaning(response: Json) -> str:
    """Return the meaning of a response, without the status phrase, which differs between Python versions."""
    text: str = response["description"]
    return text.partition("\n\n")[2] if PROBLEM in response.get("content", ()) else text


def _content(kind: str, described: Json) -> str:
    name = described.get("schema", {}).get("$ref", "").rpartition("/")[2]
    if kind == PROBLEM:
        return "problem"
    return f"[{name}](#{name.lower()})" if name else f"`{kind}`"


def _fields(schema: Json, before: str = "") -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"| `{before}{name}` | {_type(field)} | {_cell(field.get('description', ''))} |"
        inner = next((each for each in (field, *field.get("anyOf", ())) if "properties" in each), None)
        if inner:
            yield from _fields(inner, f"{before}{name}.")


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    names = " or ".join(kinds)
    return f"{names} of {_type(schema['items'])}" if "items" in schema else names


def _resolved(document: Json, described: Json) -> Json:
    found = described
    if "$ref" in described:
        found = document
        for step in described["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return found


def configuration() -> str:
    """Return a table for each section of config.toml."""
    return "\n".join(_configuration((ROOT / "config.toml").read_text(encoding="utf-8")))


def _configuration(text: str) -> Iterator[str]:
    head = "\n| key | default | what it does |\n|---|---|---|"
    section = ""
    for line in text.splitlines():
        if table := TABLE.match(line):
            section = f"{table[1]}."
            yield f"\n## {table[1]}\n{head}"
        elif key := KEY.match(line):
            if not section:
                yield f"\n## Top level\n{head}"
                section = "."
            yield f"| `{section.removeprefix('.')}{key[1]}` | `{key[2]}` | {_cell(_with_code(key[3]))} |"


def _with_code(comment: str) -> str:
    """Return a comment with its values as code."""
    return re.sub(r'(\[?"[^"]*"\]?)', r"`\1`", comment)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


MADE: dict[str, Callable[[], str]] = {"docs/api.md": api, "docs/configuration.md": configuration}


def made(name: str) -> str:
    """Return the up-to-date text of a document."""
    text = (ROOT / name).read_text(encoding="utf-8")
    by_hand, mark, _ = text.partition(MARK)
    assert mark, f"{name} has no mark"
    return f"{by_hand}{MARK}{MADE[name]()}\n"


if __name__ == "__main__":
    for each in MADE:
        (ROOT / each).write_text(made(each), encoding="utf-8")
