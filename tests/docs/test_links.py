"""Links in the documents lead somewhere."""

import ast
import re

import pytest
from documents import ROOT, Document, documents, read

DOCUMENTS = documents()
#: languages of fenced blocks; a block of another one would be checked by no test
LANGUAGES = {"", "sh", "json", "csv", "python", "javascript", "php", "go", "toml", "yaml", "ini"}

#: a module or folder of the package in a guide for developers
MODULE = re.compile(r"(?<![\w./-])((?:[a-z_]+/)+(?:[a-z_]+\.py)?)(?=[`\s,])")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)


@every_document
def test_links_lead_somewhere(document: Document) -> None:
    for link in document.links():
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.path.parent / name).resolve() if name else document.path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), f"{document.name}: {link} leads nowhere"
        if anchor:
            assert anchor in read(target).anchors(), f"{document.name}: {link} has no such heading"


@every_document
def test_pictures_and_documents_are_reached(document: Document) -> None:
    """Nobody reads a document without a link to it."""
    reached = {
        (other.path.parent / link.partition("#")[0]).resolve()
        for other in DOCUMENTS
        for link in other.links()
        if other is not document and not link.startswith("http")
    }
    assert document.name == "README.md" or document.path in reached


@every_document
def test_blocks_say_what_they_hold(document: Document) -> None:
    assert {block.language for block in document.blocks()} <= LANGUAGES


@every_document
def test_python_compiles(document: Document) -> None:
    for block in document.blocks():
        if block.language == "python":
            ast.parse(block.text, filename=f"{document.name}:{block.line}")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_modules_named_for_developers_exist(name: str) -> None:
    named = {
        path for path in MODULE.findall(read(ROOT / name).text) if not path.startswith(("tests/", "docs/"))
    }
    assert len(named) > 10
    folder = ROOT / "resizer"
    assert not [path for path in named if not any((base / path).exists() for base in (ROOT, folder))]
