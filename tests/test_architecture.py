"""The rooms of the house, and who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import resizer

ROOT = Path(resizer.__file__).parent
LEAVES = {"durable", "errors", "log_context", "retry_after", "turns", "version"}
BASE = LEAVES | {"config", "failpoints", "metrics", "models", "naming"}

#: room → rooms that it may import; docs/architecture.md draws the same
MAY_IMPORT = {
    "durable": set(),
    "errors": set(),
    "log_context": set(),
    "retry_after": set(),
    "turns": set(),
    "version": set(),
    "failpoints": {"errors"},
    "metrics": {"models", "errors", "version"},
    "models": {"errors"},
    "naming": {"models"},
    "config": {"models", "errors"},
    "bodies": {"models"},
    "addresses": {"config", "models", "errors"},
    "catalog": {"models", "errors"},
    "images": BASE | {"addresses"},
    "storage": BASE,
    "engine": BASE | {"images", "storage"},
    "database": BASE,
    "webhooks": BASE | {"addresses", "database"},
    "batches": BASE | {"bodies", "catalog", "engine", "database", "storage", "webhooks"},
    "web": BASE | {"addresses", "bodies", "batches", "storage"},
    "app": BASE | {"batches", "database", "engine", "images", "storage", "web", "webhooks"},
    "cli": BASE | {"app", "batches", "web", "webhooks"},
    "__init__": set(),
    "__main__": {"cli"},
}

#: module of others → rooms or modules that alone may import it
ONLY = {
    "PIL": {"images.codec"},
    "aiosqlite": {"database"},
    "sqlite3": {"database"},
    "aiohttp.web": {"web", "webhooks.receiver", "app", "cli"},
    "aiohttp_sse": {"web.events"},
    "click": {"cli"},
    "prometheus_client": {"metrics"},
    "rich": {"cli"},
    "standardwebhooks": {"webhooks.signing"},
    "resizer.storage.local": {"app"},
    "resizer.engine.local": {"app"},
}


def modules() -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
    )


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs_to(module: str, owner: str) -> bool:
    return module == owner or module.startswith(f"{owner}.")


@pytest.mark.parametrize("module", modules())
def test_module_imports_only_rooms_below_it(module: str) -> None:
    room = module.split(".", maxsplit=1)[0]
    for imported in imports_of(module):
        package, _, rest = imported.partition(".")
        if package == "resizer" and rest:
            other = rest.split(".")[0]
            assert other == room or other in MAY_IMPORT[room], f"{module} imports {imported}"


@pytest.mark.parametrize("module", modules())
def test_module_imports_no_library_that_belongs_to_another_room(module: str) -> None:
    for imported in imports_of(module):
        for library, owners in ONLY.items():
            if belongs_to(imported, library):
                assert any(belongs_to(module, owner) for owner in owners), f"{module} imports {imported}"


def test_no_room_imports_one_that_imports_it() -> None:
    for room, others in MAY_IMPORT.items():
        assert not [other for other in others if room in MAY_IMPORT[other]]


@pytest.mark.parametrize("module", [name for name in modules() if name != "__main__"])
def test_module_can_be_imported_first(module: str) -> None:
    """A circle of imports shows only in an interpreter that has imported nothing yet."""
    name = "resizer" if module == "__init__" else f"resizer.{module}"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {name}"], check=False, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr


def test_design_document_names_every_room() -> None:
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room in MAY_IMPORT:
        if not room.startswith("__"):
            assert f"`{room}" in text, room
