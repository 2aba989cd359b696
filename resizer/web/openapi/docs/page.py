"""The page: what a reader sees first, and the sections in their order."""

from resizer.schemas.fields import Json
from resizer.web.openapi.docs.html import Html, joined, paragraphs, prose, tag
from resizer.web.openapi.docs.operations import operation_section, webhook_section
from resizer.web.openapi.docs.schemas import schema_section

#: of the fields of a path item, those that are operations
METHODS = ("get", "post", "delete")


def page_of(document: Json, *, style: str) -> str:
    """Render an OpenAPI document, complete in itself."""
    info = document["info"]
    head = tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{info['title']} {info['version']} – API"),
        Html(f"<style>{style}</style>"),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag(
            "header",
            tag("p", info["title"], class_="name"),
            tag("h1", info["summary"]),
            tag(
                "p",
                f"Version {info['version']} · ",
                tag("a", "OpenAPI 3.1", href="openapi.json"),
                class_="quiet",
            ),
        ),
        tag("div", _contents(document), tag("main", *_sections(document), id="content"), class_="columns"),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def operations_of(document: Json, group: str) -> list[tuple[str, str, Json]]:
    """Return method, path and description of a group's operations."""
    return [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item and group in item[method]["tags"]
    ]


def _contents(document: Json) -> Html:
    parts: list[str] = [_entry("introduction", "Introduction"), _entry("errors", "Problems")]
    for group in document["tags"]:
        entries: list[str] = [
            tag(
                "li",
                tag("a", tag("span", method.upper(), class_=f"method {method}"), " ", _breakable(path),
                    href=f"#{operation['operationId']}"),
            )
            for method, path, operation in operations_of(document, group["name"])
        ]  # fmt: skip
        if group["name"] == "Webhooks":
            entries.append(_entry("webhook-events", "Events"))
        parts.append(
            tag("li", tag("a", group["name"], href=f"#{group['name'].lower()}"), tag("ul", *entries))
        )
    parts.append(_entry("schemas", "Bodies"))
    contents = tag("nav", tag("ul", *parts), aria_label="Contents")
    # on a wide screen its style opens it, on a phone a tap
    return tag("details", tag("summary", "Contents"), contents, class_="contents")


def _entry(anchor: str, name: str) -> Html:
    return tag("li", tag("a", name, href=f"#{anchor}"))


def _breakable(path: str) -> Html:
    return Html(joined([path]).replace("/", "<wbr>/"))


def _sections(document: Json) -> list[Html]:
    return [
        tag("section", tag("h2", "Introduction"), *_introduction(document), id="introduction"),
        _problems(document),
        *(_group(document, group) for group in document["tags"]),
        tag(
            "section",
            tag("h2", "Bodies"),
            *(schema_section(name, schema) for name, schema in document["components"]["schemas"].items()),
            id="schemas",
        ),
    ]  # fmt: skip


def _introduction(document: Json) -> tuple[Html, Html]:
    return paragraphs(document["info"]["description"]), _login(document)


def _login(document: Json) -> Html:
    server = tag("p", "This service is at ", tag("code", document["servers"][0]["url"]), ".")
    if "security" not in document:
        return joined([server, tag("p", "It has no login: no request needs a token.")])
    free = [
        path
        for path, item in document["paths"].items()
        for method in METHODS
        if item.get(method, {}).get("security") == []
    ]
    told = "Every request needs a token of the server's: `Authorization: Bearer TOKEN`. Open without are "
    return joined([server, tag("p", prose(told + ", ".join(f"`{path}`" for path in free) + "."))])


def _group(document: Json, group: Json) -> Html:
    parts: list[Html] = [tag("h2", group["name"]), paragraphs(group["description"])]
    origin = document["servers"][0]["url"]
    parts += [
        operation_section(method, path, operation, document, origin=origin)
        for method, path, operation in operations_of(document, group["name"])
    ]
    if group["name"] == "Webhooks":
        parts.append(webhook_section(document["webhooks"]))
    return tag("section", *parts, id=group["name"].lower())


def _problems(document: Json) -> Html:
    """List every type of problem with its status and when it comes."""
    found: dict[tuple[str, str], str] = {}
    answers: list[tuple[str, Json]] = [
        (status, answer)
        for _, _, operation in (
            each for group in document["tags"] for each in operations_of(document, group["name"])
        )
        for status, answer in operation["responses"].items()
    ]
    for status, answer in answers:
        described = (
            document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            if "$ref" in answer
            else answer
        )
        for line in described["description"].split("\n\n"):
            kind, _, when = line.partition("`: ")
            if kind.startswith("`urn:"):
                found[kind.strip("`"), status] = when
    rows = [
        tag("tr", tag("td", status), tag("td", tag("code", kind)), tag("td", prose(when)))
        for (kind, status), when in sorted(found.items(), key=lambda each: (each[0][1], each[0][0]))
    ]
    return tag(
        "section",
        tag("h2", "Problems"),
        tag(
            "p",
            prose("Types of `application/problem+json`. All others are `about:blank`: their status says it."),
        ),
        table(("Status", "Type", "When"), rows),
        id="errors",
    )


def table(names: tuple[str, ...], rows: list[Html]) -> Html:
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    return tag("div", tag("table", head, tag("tbody", *rows)), class_="wide", tabindex="0")
