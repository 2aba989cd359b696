"""The release: a complete wheel and source archive that install in an empty environment."""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from process import LISTENING, environment
from resizer.cli.demonstration import PRODUCTS
from resizer.version import VERSION
from service import catalogue

ROOT = Path(__file__).parent.parent
#: seconds; installing an environment takes minutes on a busy machine
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from the source archive, as for a release."""
    copy, out = tmp_path_factory.mktemp("source") / "resizer", tmp_path_factory.mktemp("dist")
    # neither leave build files in the checkout, nor build stray files from it
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_wheel_holds_all_that_runs_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"resizer-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    code = {name for name in names if not name.startswith(f"resizer-{VERSION}.dist-info/")}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "resizer").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert code == there
    assert {"resizer/web/page/index.html", "resizer/database/migrations.py", "resizer/py.typed"} <= code


def test_demo_photos_are_in_the_wheel_and_take_at_most_2_mb(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        sizes = {
            Path(item.filename).name: item.file_size
            for item in opened.infolist()
            if item.filename.startswith("resizer/cli/demo_photos/")
        }
    assert sizes.keys() == {name for files in PRODUCTS.values() for name in files}
    assert sum(sizes.values()) <= 2_000_000


def test_source_archive_holds_what_a_packager_wants(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "config.toml", "pyproject.toml"}
    assert wanted <= names
    assert {"tests/conftest.py", "docs/architecture.md", "deploy/Dockerfile"} <= names


def python(version: str) -> Path:
    """Return an interpreter of this version, or skip the test."""
    found = shutil.which(f"python{version}")
    elsewhere = sorted(
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*")
    )
    for path in [*([Path(found)] if found else []), *(each / "bin" / "python" for each in elsewhere)]:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if told.stdout.startswith(f"Python {version}."):
            return path
    pytest.skip(f"no Python {version} here: install it, by pyenv or from your system's packages")


@pytest.mark.early(1)
@pytest.mark.soak
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
async def test_wheel_works_in_an_empty_environment(
    version: str, dist: Path, tmp_path: Path, origin: Origin
) -> None:
    wheel = dist / f"resizer-{VERSION}-py3-none-any.whl"
    venv = tmp_path / "venv"
    await run(python(version), "-m", "venv", venv, folder=tmp_path)
    await run(venv / "bin" / "pip", "install", "--quiet", wheel, folder=tmp_path)
    resizer = venv / "bin" / "resizer"
    for command in ((resizer,), (venv / "bin" / "python", "-m", "resizer")):
        assert VERSION in await run(*command, "--version", folder=tmp_path)
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    (tmp_path / "products.csv").write_bytes(catalogue([("One", origin.url("/a.jpg"))]))
    serving = await asyncio.create_subprocess_exec(
        resizer, "serve", "--port", "0", cwd=tmp_path, env=environment(), stderr=asyncio.subprocess.PIPE
    )
    assert serving.stderr is not None
    try:
        url = None
        while url is None:
            line = (await serving.stderr.readline()).decode()
            assert line, "it ended"
            if match := LISTENING.search(line):
                url = match[1]
        told = await run(resizer, "submit", "products.csv", "--server", url, "--wait", folder=tmp_path)
        assert told.strip() == "products-result.csv"
        async with aiohttp.ClientSession() as session:
            for path, kind in (("/", "text/html"), ("/docs", "text/html"), ("/openapi.json", "json")):
                async with session.get(url + path) as response:
                    assert response.status == 200
                    assert kind in response.content_type
    finally:
        serving.terminate()
        await serving.communicate()
    assert serving.returncode == 0


async def run(*command: str | Path, folder: Path) -> str:
    """Run a command, which must succeed; returns its standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
