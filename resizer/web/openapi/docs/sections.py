"""The sections of the page: operations, webhook events, problems."""

import json
from collections.abc import Iterator
from typing import Any, Final

from resizer.schemas.fields import Json
from resizer.web.openapi.docs.curl import curl
from resizer.web.openapi.docs.field_list import fields_of, type_of
from resizer.web.openapi.docs.html import Html, definitions, joined, paragraphs, prose, tag

METHODS: Final = ("get", "post", "delete")
#: characters of an example
MAX_EXAMPLE: Final = 4000


def operations_of(document: Json, group: str) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and description of a group's operations."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if group in item.get(method, {}).get("tags", ()):
                yield method, path, item[method]


def resolved(part: Json, document: Json) -> Json:
    """Return the part, or the part that it refers to."""
    found: Any = part
    if "$ref" in part:
        found = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return dict(found)


def operation_section(method: str, path: str, operation: Json, document: Json) -> Html:
    origin = document["servers"][0]["url"]
    command = curl(method, path, operation, origin=origin, token="security" in document)
    name = operation["operationId"]
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
        _code(command),
    ]
    if operation["parameters"]:
        parts += [tag("h4", "Parameters"), _parameters(operation)]
    if "requestBody" in operation:
        parts.append(tag("h4", "Body"))
        for kind, content in operation["requestBody"]["content"].items():
            schema = content["schema"]
            parts += [
                tag("p", tag("code", kind)),
                fields_of(schema),
                paragraphs(schema.get("description", "")),
            ]
    parts.append(tag("h4", "Responses"))
    for status, response in operation["responses"].items():
        parts.append(_response(status, resolved(response, document)))
    return tag("article", *parts, id=name)


def _parameters(operation: Json) -> Html:
    return definitions(
        (
            each["name"],
            joined([
                f"{each['in']}, ",
                type_of(each["schema"]),
                " (required)" if each.get("required") and each["in"] != "path" else "",
            ]),
            each["description"],
        )
        for each in operation["parameters"]
    )  # fmt: skip


def _response(status: str, response: Json) -> Html:
    first, *others = response["description"].split("\n\n")
    summary = [tag("span", status, class_=f"status s{status[0]}"), " ", prose(first)]
    parts: list[Html] = [tag("p", prose(each)) for each in others]
    if "headers" in response:
        parts.append(tag("h5", "Headers"))
        parts.append(
            definitions(
                (name, "" if each["required"] else "not always", each["description"])
                for name, each in response["headers"].items()
            )
        )
    for kind, content in response.get("content", {}).items():
        schema = content.get("schema", {})
        body = joined([" ", type_of(schema)]) if "$ref" in schema else Html()
        parts += [tag("p", tag("code", kind), body), _example(content)]
    if not parts:
        return tag("p", *summary, class_="plain")
    return tag("details", tag("summary", *summary), *parts)


def _example(content: Json) -> Html:
    example = content.get("example", "")
    text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
    return _code(text[:MAX_EXAMPLE]) if text else Html()


def _code(text: str) -> Html:
    return tag("pre", tag("code", text), tabindex="0")


def webhook_section(webhooks: Json) -> Html:
    event = next(iter(webhooks.values()))["post"]
    content = event["requestBody"]["content"]["application/json"]
    kinds = [
        tag("li", tag("code", kind), f" – {item['post']['summary'].partition(': ')[2]}")
        for kind, item in webhooks.items()
    ]
    responses = [(status, "", each["description"]) for status, each in event["responses"].items()]
    return tag(
        "article",
        tag("h3", "Events"),
        paragraphs(event["description"]),
        tag("ul", *kinds),
        tag("h4", "Headers"),
        _parameters(event),
        tag("h4", "Body"),
        fields_of(content["schema"]),
        _example(content),
        tag("h4", "Your response"),
        definitions(responses),
        id="webhook-events",
    )


def problems_section(document: Json) -> Html:
    """List every type of problem with its status and its cause."""
    found = {
        (status, kind.strip("`"), when)
        for group in document["tags"]
        for _, _, operation in operations_of(document, group["name"])
        for status, response in operation["responses"].items()
        for line in resolved(response, document)["description"].split("\n\n")
        for kind, _, when in [line.partition("`: ")]
        if kind.startswith("`urn:")
    }
    rows = [
        tag("tr", tag("td", status), tag("td", tag("code", kind)), tag("td", prose(when)))
        for status, kind, when in sorted(found)
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Status", "Type", "When")))
    return tag(
        "section",
        tag("h2", "Problems"),
        tag("p", prose("Types of `application/problem+json`. Any other error is `about:blank`.")),
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="wide", tabindex="0"),
        id="errors",
    )
