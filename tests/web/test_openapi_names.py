"""Every name in the document's words and examples is a name that the service has."""

import ast
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import resizer
from resizer.config import load_settings
from resizer.web.openapi import describe
from service import Client

Serve = Callable[..., Awaitable[Client]]
Document = dict[str, Any]
ROOT = Path(resizer.__file__).parent
DESCRIPTIONS = ROOT / "web" / "openapi"
ORIGIN = "http://service"
CODE = re.compile(r"`([^`]+)`")
#: identifiers and header names; words in capitals stand for values
NAME = re.compile(r"[A-Za-z][a-z]\w*(?:[-_]\w+)*")
SNAKE = re.compile(r"\b[a-z]+(?:_[a-z]+)+(?!\w)")
METRIC = re.compile(r"\bresizer_[a-z0-9_]+")
PROBLEM = re.compile(r"\burn:resizer:problem:[a-z-]+")
PATH = re.compile(r"(?<![\w/*.<-])/[a-z][^\s,;:`'\"]*")
#: notation and values of other parties in code within descriptions
FOREIGN = {"rrggbb"}


def normalised(name: str) -> str:
    """Return a name that is the same for `Retry-After` and `hdrs.RETRY_AFTER`."""
    return name.lower().replace("-", "_")


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names and the words of strings in code, without docstrings and comments."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from NAME.findall(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            yield from NAME.findall(node.value.decode("latin-1"))
        for field in ("id", "attr", "arg", "name"):
            found = getattr(node, field, None)
            if isinstance(found, str):
                yield found


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The names in the code that does the work, which is all but the descriptions."""
    return {
        normalised(name)
        for path in ROOT.rglob("*.py")
        if not path.is_relative_to(DESCRIPTIONS)
        for name in names_in(ast.parse(path.read_text(encoding="utf-8")))
    }


@pytest.fixture(scope="module")
def document() -> Document:
    return describe(load_settings(None, {"server": {"api_tokens": ["secret"]}}), origin=ORIGIN)


def texts(node: Any, *, example: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield each text for people with whether it is an example."""
    if isinstance(node, str) and example:
        yield node, True
    elif isinstance(node, list):
        for each in node:
            yield from texts(each, example=example)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in {"description", "summary", "title"} and isinstance(value, str) and not example:
                yield value, False
            elif example:
                yield key, True
                yield from texts(value, example=True)
            else:
                yield from texts(value, example=key in {"example", "examples"})


def unknown(document: Document, known: set[str]) -> set[str]:
    """Return the names in descriptions and examples that the code does not have."""
    found: set[str] = set()
    for text, example in texts(document):
        found.update(SNAKE.findall(text))
        if not example:
            found.update(name for code in CODE.findall(text) for name in NAME.findall(code))
    return {name for name in found if normalised(name) not in known | FOREIGN}


def test_every_name_in_code_or_with_an_underscore_is_known(document: Document, known: set[str]) -> None:
    assert not unknown(document, known)


@pytest.mark.parametrize(
    "part",
    [
        {"example": "resizer_no_such_metric 12.0\n"},
        {"example": {"data": [{"no_such_field": 1}]}},
        {"schema": {"type": "string", "examples": ["no_such_value"]}},
        {"description": "Fails with no_such_code."},
        {"description": "Send `nosuchoption` with it."},
        {"summary": "Reads `No-Such-Header`."},
    ],
    ids=str,
)
def test_name_that_exists_nowhere_is_found(part: Document, known: set[str]) -> None:
    assert len(unknown({"paths": {"/x": part}}, known)) == 1


def all_text(document: Document) -> str:
    return "\n".join(text for text, _ in texts(document))


async def test_every_metric_is_one_that_is_exposed(document: Document, serve: Serve) -> None:
    named = set(METRIC.findall(all_text(document)))
    assert named
    client = await serve()
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert named <= set(METRIC.findall(await response.text()))


def test_every_problem_type_is_one_that_is_sent(document: Document, known: set[str]) -> None:
    named = {urn.rpartition(":")[2] for urn in PROBLEM.findall(json.dumps(document))}
    assert len(named) > 10
    assert {normalised(name) for name in named} <= known


async def test_every_path_is_one_that_is_served(document: Document, serve: Serve) -> None:
    """Paths in code within descriptions, and those of this service's URLs in examples."""
    client = await serve()
    routes = [
        re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(resource.canonical)))
        for resource in client.app.router.resources()
    ]
    described = {
        path
        for text, example in texts(document)
        if not example
        for code in CODE.findall(text)
        for path in PATH.findall(code)
    }
    linked = set(re.findall(r"https://images\.example(/[^\s\",]+)", all_text(document)))
    assert described
    assert len(linked) > 4
    assert not [path for path in described | linked if not any(each.fullmatch(path) for each in routes)]
