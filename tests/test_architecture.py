"""Which packages may import which."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import resizer

ROOT = Path(resizer.__file__).parent
BASE = {
    "events",
    "support",
    "version",
    "errors",
    "recipe",
    "config",
    "models",
    "metrics",
    "naming",
    "containers",
}

#: package → packages it may import; docs/architecture.md draws the same
MAY_IMPORT = {
    "version": set(),
    "errors": set(),
    "recipe": set(),
    "support": {"errors"},
    "models": {"errors", "recipe"},
    "naming": {"models"},
    "containers": {"errors"},
    "config": {"support", "models", "errors", "recipe"},
    "metrics": {"models", "errors", "version"},
    "events": {"models"},
    "schemas": {"containers", "errors", "models", "recipe"},
    "catalog": {"models", "errors"},
    "fetch": BASE,
    "compress": BASE | {"storage"},
    "storage": BASE,
    "database": BASE,
    "webhooks": BASE | {"database", "fetch", "schemas"},
    "engine": BASE | {"fetch", "storage"},
    "pipeline": BASE
    | {"schemas", "catalog", "compress", "database", "engine", "fetch", "storage", "webhooks"},
    "web": BASE | {"catalog", "fetch", "pipeline", "schemas", "storage"},
    "data_folder": BASE,
    "implementations": BASE | {"compress", "data_folder", "engine", "fetch", "pipeline", "storage"},
    "app": BASE
    | {
        "data_folder",
        "database",
        "engine",
        "fetch",
        "implementations",
        "pipeline",
        "storage",
        "web",
        "webhooks",
    },
    "cli": BASE
    | {
        "app",
        "implementations",
        "compress",
        "data_folder",
        "database",
        "engine",
        "pipeline",
        "storage",
        "web",
        "webhooks",
    },
    "__init__": set(),
    "__main__": {"cli"},
}

#: third-party module, or one of ours → the only packages or modules that may import it
ONLY = {
    "PIL": {"compress.codec"},
    "aiosqlite": {"database"},
    "sqlite3": {"database"},
    "aiohttp.web": {"web", "webhooks.receiver", "app", "cli"},
    "aiohttp_sse": {"web.api.event_stream"},
    "click": {"cli"},
    "prometheus_client": {"metrics"},
    "rich": {"cli"},
    "pi_heif": {"compress.codec.heif"},
    "pyvips": {"compress.codec.vips"},
    "simplejpeg": {"compress.codec.turbo"},
    "standardwebhooks": {"webhooks.signing"},
    "resizer.storage.local": {"implementations"},
    "resizer.pipeline.image": {"app", "implementations", "pipeline.scheduler"},
    "resizer.storage.object_store": {"implementations"},
    "resizer.engine.celery": {"implementations", "engine.celery"},
    "obstore": {"storage.object_store"},
    "celery": {"engine.celery"},
    "kombu": {"engine.celery"},
    "redis": {"engine.celery"},
}


@cache
def modules() -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
    )


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(source_of(module).read_text(encoding="utf-8"))


def imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def belongs_to(module: str, owner: str) -> bool:
    return module == owner or module.startswith(f"{owner}.")


def imports() -> Iterator[tuple[str, str]]:
    return ((module, imported) for module in modules() for imported in imports_of(module))


def test_modules_import_only_rooms_below_them() -> None:
    above = []
    for module, imported in imports():
        room = module.split(".", maxsplit=1)[0]
        package, _, rest = imported.partition(".")
        other = rest.split(".")[0]
        if package == "resizer" and rest and other != room and other not in MAY_IMPORT[room]:
            above.append(f"{module} imports {imported}")
    assert not above


def test_modules_import_no_library_that_belongs_to_another_room() -> None:
    foreign = [
        f"{module} imports {imported}"
        for module, imported in imports()
        for library, owners in ONLY.items()
        if belongs_to(imported, library) and not any(belongs_to(module, owner) for owner in owners)
    ]
    assert not foreign


def test_no_room_imports_one_that_imports_it() -> None:
    for room, others in MAY_IMPORT.items():
        assert not [other for other in others if room in MAY_IMPORT[other]]


def needs(module: str) -> set[str]:
    """Return our modules that run before this one is complete, except its own packages."""
    known, found = set(modules()), set()
    for node in tree_of(module).body:
        if not isinstance(node, ast.ImportFrom) or not belongs_to(node.module or "", "resizer"):
            continue
        asked = str(node.module).removeprefix("resizer.")
        inner = {f"{asked}.{alias.name}" for alias in node.names}
        if asked in known and not (inner <= known and belongs_to(module, asked)):
            found.add(asked)
        for name in {asked, *inner} & known:
            parts = name.split(".")
            packages = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            found.update(package for package in packages if not belongs_to(module, package))
    return found - {module}


def test_no_circle_of_imports() -> None:
    """With a circle, whether a module can be imported depends on which one is imported first."""
    TopologicalSorter({module: needs(module) for module in modules()}).prepare()


def test_design_document_names_every_room() -> None:
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room in MAY_IMPORT:
        if not room.startswith("__"):
            assert f"`{room}" in text, room


def test_design_document_draws_imports_downwards() -> None:
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = text.partition("```\n")[2].partition("```\n")[0]
    line_of = {
        word: number
        for number, line in enumerate(drawing.splitlines())
        for word in line[11:].partition(" (")[0].split()
        if word in MAY_IMPORT
    }
    assert line_of.keys() == {room for room in MAY_IMPORT if not room.startswith("__")}
    for room, line in line_of.items():
        assert not [other for other in MAY_IMPORT[room] if line_of[other] <= line], room


def functions(body: ast.AST) -> set[str]:
    """Return the names of all functions and methods in a piece of code, but for properties."""
    return {
        node.name
        for node in ast.walk(body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)
    }


def is_callable(value: ast.expr | None, module: str) -> bool:
    match value:
        case ast.Lambda():
            return True
        case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial")):
            return True
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name in functions(tree_of(module))
        case _:
            return False


def assigned(module: str) -> Iterator[tuple[ast.Attribute, ast.expr | None]]:
    """Yield attributes of other objects that a module assigns, each with its value."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute) and not (
                    isinstance(target.value, ast.Name) and target.value.id in ("self", "cls")
                ):
                    yield target, node.value


def test_no_callable_is_assigned_to_another_object() -> None:
    """What another object is to call is handed to its constructor, or subscribed to the events in `app`."""
    wired = [
        f"{module}:{target.lineno}"
        for module in modules()
        for target, value in assigned(module)
        if is_callable(value, module)
    ]
    assert not wired


def test_no_function_is_longer_than_40_lines_and_no_file_than_300() -> None:
    long = [
        f"{module}: {len(source_of(module).read_text().splitlines())} lines"
        for module in modules()
        if len(source_of(module).read_text().splitlines()) > 300
    ]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    long += [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module in modules()
        for node in ast.walk(tree_of(module))
        if isinstance(node, kinds) and node.end_lineno and node.end_lineno - node.lineno >= 40
    ]
    assert not long
