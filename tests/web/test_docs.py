"""The API's page contains all of the document, and needs no other file."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser

import pytest

from resizer.web.openapi.docs import STYLE
from resizer.web.openapi.docs.html import paragraphs, tag
from service import Client, problem

Serve = Callable[..., Awaitable[Client]]
#: elements without an end tag
VOID = {"meta", "wbr"}


class Page(HTMLParser):
    """Correctly nested elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def fetched(client: Client, **headers: str) -> str:
    async with client.get("/docs", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        return await response.text()


async def test_page_shows_every_operation_and_body(serve: Serve) -> None:
    client = await serve()
    page = Page(await fetched(client))
    async with client.get("/openapi.json") as response:
        document = await response.json()
    anchors = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    for path, item in document["paths"].items():
        assert path in page.text
        for operation in item.values():
            assert operation["operationId"] in anchors
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= set(anchors)
    for word in (
        "request.completed",
        "webhook-signature",
        "too_many_pixels",
        "urn:resizer:problem:queue-full",
    ):
        assert word in page.text
    assert page.text.count("curl ") >= len(document["paths"])


async def test_every_link_has_a_target(serve: Serve) -> None:
    client = await serve()
    page = Page(await fetched(client))
    anchors = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for name, attributes in page.elements:
        if name == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in anchors
        elif name == "a":
            async with client.get(f"/{attributes['href']}") as response:
                assert response.status == 200


async def test_page_loads_and_runs_nothing(serve: Serve) -> None:
    client = await serve()
    html = await fetched(client)
    page = Page(html)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form"}
    for _, attributes in page.elements:
        assert not {"src", "style", "srcset"} & set(attributes)
        assert not [each for each in attributes if each.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html


async def test_policy_allows_only_the_pages_own_style(serve: Serve) -> None:
    client = await serve()
    async with client.get("/docs") as response:
        policy = response.headers["Content-Security-Policy"]
        html = await response.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy


async def test_page_needs_a_token_where_the_api_does(serve: Serve) -> None:
    client = await serve(server={"api_tokens": ["secret"]})
    async with client.get("/docs") as response:
        await problem(response, 401)
    page = Page(await fetched(client, Authorization="Bearer secret"))
    assert "Authorization: Bearer $TOKEN" in page.text
    assert "secret" not in page.text.replace("secret (Standard", "")


def test_text_is_escaped_once() -> None:
    assert tag("p", "<b> & `x`", title='"') == '<p title="&quot;">&lt;b&gt; &amp; `x`</p>'
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"
    assert paragraphs("a `<b>`\n\nc") == "<p>a <code>&lt;b&gt;</code></p><p>c</p>"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_enough_contrast(scheme: str) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for text, on every background it is used on."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    for ground in ("page", "card", "code"):
        for name in ("text", "quiet", "link", "get", "post", "delete", "good", "turn", "bad"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
