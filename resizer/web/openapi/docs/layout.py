"""The page: its head, its contents, and the sections in their order."""

from resizer.schemas.fields import Json
from resizer.web.openapi.docs.field_list import fields_of
from resizer.web.openapi.docs.html import Html, joined, paragraphs, prose, tag
from resizer.web.openapi.docs.sections import (
    operation_section,
    operations_of,
    problems_section,
    webhook_section,
)


def page_of(document: Json, *, style: str) -> str:
    """Render an OpenAPI document as a page that needs no other file."""
    info = document["info"]
    head = tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{info['title']} {info['version']} – API"),
        Html(f"<style>{style}</style>"),
    )
    version = [f"Version {info['version']} · ", tag("a", "OpenAPI 3.1", href="openapi.json")]
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag(
            "header",
            tag("p", info["title"], class_="name"),
            tag("h1", info["summary"]),
            tag("p", *version, class_="quiet"),
        ),
        tag("div", _contents(document), tag("main", *_sections(document), id="content"), class_="columns"),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _contents(document: Json) -> Html:
    parts = [_entry("introduction", "Introduction"), _entry("errors", "Problems")]
    for group in document["tags"]:
        entries = [
            _entry(
                operation["operationId"],
                tag("span", method.upper(), class_=f"method {method}"),
                " ",
                Html(path.replace("/", "<wbr>/")),
            )
            for method, path, operation in operations_of(document, group["name"])
        ]
        if group["name"] == "Webhooks":
            entries.append(_entry("webhook-events", "Events"))
        link = tag("a", group["name"], href=f"#{group['name'].lower()}")
        parts.append(tag("li", link, tag("ul", *entries)))
    parts.append(_entry("schemas", "Bodies"))
    # always open on a wide screen by its style, on a phone by a tap
    navigation = tag("nav", tag("ul", *parts), aria_label="Contents")
    return tag("details", tag("summary", "Contents"), navigation, class_="contents")


def _entry(anchor: str, *content: str) -> Html:
    return tag("li", tag("a", *content, href=f"#{anchor}"))


def _sections(document: Json) -> list[Html]:
    introduction = [tag("h2", "Introduction"), paragraphs(document["info"]["description"]), _login(document)]
    bodies = [
        tag(
            "article",
            tag("h3", tag("a", name, href=f"#schema-{name}")),
            paragraphs(schema["description"]),
            fields_of(schema),
            id=f"schema-{name}",
        )
        for name, schema in document["components"]["schemas"].items()
    ]
    return [
        tag("section", *introduction, id="introduction"),
        problems_section(document),
        *(_group(document, group) for group in document["tags"]),
        tag("section", tag("h2", "Bodies"), *bodies, id="schemas"),
    ]


def _login(document: Json) -> Html:
    server = tag("p", "This service is at ", tag("code", document["servers"][0]["url"]), ".")
    if "security" not in document:
        return joined([server, tag("p", "It has no tokens: every request is accepted without one.")])
    open_paths = [
        f"`{path}`"
        for path, item in document["paths"].items()
        if any(operation.get("security") == [] for operation in item.values())
    ]
    text = "Requests need one of the server's tokens: `Authorization: Bearer TOKEN`. Exceptions: "
    return joined([server, tag("p", prose(f"{text}{', '.join(open_paths)}."))])


def _group(document: Json, group: Json) -> Html:
    name = group["name"]
    parts = [operation_section(*each, document) for each in operations_of(document, name)]
    if name == "Webhooks":
        parts.append(webhook_section(document["webhooks"]))
    return tag("section", tag("h2", name), paragraphs(group["description"]), *parts, id=name.lower())
