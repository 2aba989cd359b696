"""Names in descriptions and examples are those of the service, not remnants of names that it once had."""

import ast
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import hdrs

import resizer
from resizer.config import load_settings
from resizer.web.openapi import describe
from resizer.web.openapi.examples import LINKS
from service import Client

Serve = Callable[..., Awaitable[Client]]
ROOT = Path(resizer.__file__).parent
DESCRIPTIONS = ROOT / "web" / "openapi"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{2,}")
#: names that no backticks are needed to recognise, as in the example of /metrics
SNAKE_CASE = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b")
CODE = re.compile(r"`([^`]+)`")
#: TOKEN, a random id: something else takes its place
PLACEHOLDER = re.compile(r"[A-Z]+|evt_[0-9a-f]{32}")


@cache
def names_of_the_service() -> frozenset[str]:
    """Return the identifiers and the words of all strings, except docstrings and the descriptions."""
    found = {str(name) for name in vars(hdrs).values()}
    for path in ROOT.rglob("*.py"):
        if not path.is_relative_to(DESCRIPTIONS):
            found.update(names_in(ast.parse(path.read_text(encoding="utf-8"))))
    return frozenset(found)


def names_in(tree: ast.Module) -> Iterator[str]:
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield from NAME.findall(text)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name


def unknown_names(texts: Iterable[str]) -> set[str]:
    """Return the names in these texts that the service does not have."""
    named = {
        name
        for text in texts
        for name in (
            *SNAKE_CASE.findall(text),
            *(name for code in CODE.findall(text) for name in NAME.findall(code)),
        )
    }
    return {name for name in named - names_of_the_service() if not PLACEHOLDER.fullmatch(name)}


def texts_of(node: Any) -> Iterator[str]:
    """Yield all texts for people, and every string and key of the examples."""
    if isinstance(node, list):
        for each in node:
            yield from texts_of(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in {"example", "examples"}:
                yield from strings_of(value)
            elif key in {"description", "summary"} and isinstance(value, str):
                yield value
            else:
                yield from texts_of(value)


def strings_of(example: Any) -> Iterator[str]:
    if isinstance(example, str):
        yield example
    elif isinstance(example, dict):
        yield from example
    if isinstance(example, (dict, list)):
        for each in example.values() if isinstance(example, dict) else example:
            yield from strings_of(each)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = load_settings(None, {"server": {"api_tokens": ["secret"]}})
    return describe(settings, origin="http://service")


def test_every_name_in_a_text_is_one_of_the_service(document: dict[str, Any]) -> None:
    texts = [*texts_of(document)]
    assert "resizer_images_waiting 12.0\n" in texts
    assert "storage" in names_of_the_service()
    assert unknown_names(texts) == set()


@pytest.mark.parametrize(
    "text, unknown",
    [
        ("resizer_queue_images 12.0\n", {"resizer_queue_images"}),
        ("Send it as `If-Nothing-Match`.", {"If-Nothing-Match"}),
        ("`max_widht` and `max_height`: pixels", {"max_widht"}),
        ("`urn:resizer:problem:queue-fool`", {"queue-fool"}),
        ("`GET /status/{request_number}`", {"request_number"}),
        ("`Authorization: Bearer TOKEN`, and no name", set()),
    ],
)
def test_name_that_exists_nowhere_else_is_found(text: str, unknown: set[str]) -> None:
    assert unknown_names([text]) == unknown


def test_every_path_in_a_text_is_one_of_the_service(document: dict[str, Any]) -> None:
    named = {
        path
        for text in texts_of(document)
        for code in CODE.findall(text)
        for path in re.findall(r"(?:^|GET |POST |DELETE )(/[a-z{][\w{}./-]*)", code)
    }
    assert named
    assert named <= set(document["paths"])


async def test_every_metric_in_a_text_is_exposed(document: dict[str, Any], serve: Serve) -> None:
    metric = re.compile(r"\bresizer_[a-z0-9_]+")
    named = {name for text in texts_of(document) for name in metric.findall(text)}
    assert named
    client = await serve()
    async with client.get("/metrics") as response:
        assert named <= set(metric.findall(await response.text()))


async def test_every_url_of_the_service_in_an_example_is_routed(
    document: dict[str, Any], serve: Serve
) -> None:
    own = re.compile(re.escape(LINKS.origin) + r"(/[^\s\",]+)")
    paths = {path for text in texts_of(document) for path in own.findall(text)}
    assert len(paths) > 4
    client = await serve()
    routes = [
        re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(resource.canonical)))
        for resource in client.app.router.resources()
    ]
    assert not [path for path in paths if not any(route.fullmatch(path) for route in routes)]
