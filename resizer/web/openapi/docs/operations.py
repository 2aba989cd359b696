"""One operation for people: what it takes, what it answers, how to call it."""

import json
import shlex
from typing import Any

from resizer.schemas.fields import Json
from resizer.web.openapi.docs.html import Html, joined, paragraphs, prose, tag
from resizer.web.openapi.docs.schemas import fields_of, type_of

#: characters of an example that are shown
LONGEST = 4000
#: what a client saves rather than looks at
FILES = {
    "getResult": "result.csv",
    "getArchive": "images.zip",
    "getImage": "image.jpg",
    "getOriginal": "original.jpg",
}


def operation_section(method: str, path: str, operation: Json, document: Json, *, origin: str) -> Html:
    name = operation["operationId"]
    parameters = [resolved(each, document) for each in operation.get("parameters", [])]
    answers = {status: resolved(each, document) for status, each in operation["responses"].items()}
    parts = [
        tag("h3", operation["summary"]),
        tag(
            "p",
            tag("span", method.upper(), class_=f"method {method}"),
            " ",
            tag("a", tag("code", path), href=f"#{name}"),
            class_="address",
        ),
        paragraphs(operation["description"]),
        tag("pre", tag("code", curl(method, path, operation, document, origin=origin)), tabindex="0"),
    ]
    if parameters:
        parts += [tag("h4", "Parameters"), tag("dl", *map(_parameter, parameters))]
    if "requestBody" in operation:
        parts += [tag("h4", "Body"), *_bodies(operation["requestBody"]["content"])]
    parts += [tag("h4", "Answers"), *(_answer(status, each) for status, each in sorted(answers.items()))]
    return tag("article", *parts, id=name)


def webhook_section(webhooks: Json) -> Html:
    kinds = [
        tag("li", tag("code", kind), f" – {item['post']['summary'].partition(': ')[2]}")
        for kind, item in webhooks.items()
    ]
    first = next(iter(webhooks.values()))["post"]
    content = first["requestBody"]["content"]["application/json"]
    return tag(
        "article",
        tag("h3", "Events"),
        paragraphs(first["description"]),
        tag("ul", *kinds),
        tag("h4", "Headers"),
        tag("dl", *map(_parameter, first["parameters"])),
        tag("h4", "Body"),
        fields_of(content["schema"]),
        _example(content),
        tag("h4", "Your answer"),
        tag("dl", *(
            joined([tag("dt", status), tag("dd", prose(answer["description"]))])
            for status, answer in first["responses"].items()
        )),
        id="webhook-events",
    )  # fmt: skip


def resolved(part: Json, document: Json) -> Json:
    """Follow a reference within the document."""
    found: Any = part
    while "$ref" in found:
        target: Any = document
        for step in found["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        found = target
    return dict(found)


def curl(method: str, path: str, operation: Json, document: Json, *, origin: str) -> str:
    """Write a call as one would type it."""
    for parameter in (resolved(each, document) for each in operation.get("parameters", [])):
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", str(parameter["example"]))
    words = ["curl", shlex.quote(origin + path)]
    if method == "delete" or (method == "post" and "requestBody" not in operation):
        words[1:1] = ["-X", method.upper()]
    lines = [" ".join(words)]
    if document.get("security") and operation.get("security") != []:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
    if form:
        lines += ["-F file=@products.csv"]
        lines += [f"-F {name}={value}" for name, value in form["example"].items() if name != "file"]
    lines += [
        f"-H {shlex.quote(parameter['name'] + ': ' + str(parameter['example']))}"
        for parameter in (resolved(each, document) for each in operation.get("parameters", []))
        if parameter["in"] == "header" and "example" in parameter
    ]
    if operation["operationId"] in FILES:
        lines.append(f"-o {FILES[operation['operationId']]}")
    if operation["operationId"] == "followRequest":
        lines.append("--no-buffer")
    return " \\\n  ".join(lines)


def _parameter(parameter: Json) -> Html:
    needed = " (required)" if parameter.get("required") and parameter["in"] != "path" else ""
    kind = tag("span", f"{parameter['in']}, ", type_of(parameter["schema"]), needed, class_="type")
    return joined(
        [tag("dt", tag("code", parameter["name"]), " ", kind), tag("dd", prose(parameter["description"]))]
    )


def _bodies(contents: Json) -> list[Html]:
    parts: list[Html] = []
    for kind, content in contents.items():
        parts.append(tag("p", tag("code", kind)))
        parts.append(fields_of(content["schema"]) or paragraphs(content["schema"].get("description", "")))
    return parts


def _answer(status: str, answer: Json) -> Html:
    first, *rest = answer["description"].split("\n\n")
    summary = tag("summary", tag("span", status, class_=f"status s{status[0]}"), " ", prose(first))
    parts: list[Html] = [tag("p", prose(each)) for each in rest]
    headers = [
        joined([tag("dt", tag("code", name), " ", _certainty(each)), tag("dd", prose(each["description"]))])
        for name, each in answer.get("headers", {}).items()
    ]
    if headers:
        parts += [tag("h5", "Headers"), tag("dl", *headers)]
    for kind, content in answer.get("content", {}).items():
        schema = content.get("schema", {})
        of = joined([" ", type_of(schema)]) if "$ref" in schema else Html()
        parts += [tag("p", tag("code", kind), of), _example(content)]
    if not parts:
        return tag("p", tag("span", status, class_=f"status s{status[0]}"), " ", prose(first), class_="plain")
    return tag("details", summary, *parts)


def _certainty(header: Json) -> Html:
    return tag("span", "" if header.get("required") else "not always", class_="type")


def _example(content: Json) -> Html:
    example = content.get("example")
    if example is None:
        return Html()
    text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
    return tag("pre", tag("code", text[:LONGEST]), tabindex="0")
