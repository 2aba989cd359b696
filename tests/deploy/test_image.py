"""The container image: what its Dockerfile says holds for the project as it is, and is started as it says."""

import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from programs import DEPLOY, Running, output_of, program

from process import LISTENING, environment
from resizer.config import Settings
from s3 import free_port

ROOT = DEPLOY.parent
DOCKERFILE = DEPLOY / "Dockerfile"
LINTER = ROOT / "node_modules" / "dockerfile-utils" / "bin" / "dockerfile-utils"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, in order."""
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if line.strip() and not line.startswith("#"))
    found = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.partition(" ")
        found.append((name, rest.strip()))
    return found


def last(name: str) -> str:
    return next(rest for each, rest in reversed(instructions()) if each == name)


def exec_form(name: str) -> list[str]:
    text = last(name)
    command: list[str] = json.loads(text[text.index("[") :])
    return command


def variables() -> dict[str, str]:
    """The image's environment, but for the path."""
    found = dict(each.split("=", 1) for each in shlex.split(last("ENV")))
    assert found.pop("PATH").startswith("/opt/resizer/bin:")
    return found


def started(folder: Path, *arguments: str, **changed: str) -> Running:
    """What a container runs, with a folder for its volume."""
    entrypoint = exec_form("ENTRYPOINT")
    assert entrypoint == ["resizer"]
    env = environment(**{**variables(), "RESIZER_DATA_DIR": str(folder), **changed})
    return Running(sys.executable, "-m", *entrypoint, *(arguments or exec_form("CMD")), env=env)


def test_a_linter_finds_nothing() -> None:
    node = program("node", package="nodejs")
    if not LINTER.exists():
        pytest.skip("no linter here: npm install --no-save dockerfile-utils")
    assert output_of(node, LINTER, "lint", DOCKERFILE) == ""


def test_what_is_copied_is_there_and_sent_along() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    sources = [
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert sorted(sources) == sorted(sent)
    assert all((ROOT / source).exists() for source in sources)
    assert not any(fnmatch(".env", pattern) or pattern.startswith("deploy") for pattern in sent)


def test_the_wheel_finds_all_that_it_is_made_from() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= sent


def test_what_is_installed_first_are_the_dependencies(tmp_path: Path) -> None:
    command = next(rest for name, rest in instructions() if name == "RUN" and "tomllib" in rest)
    python, _, pip = command.partition(" && ")
    assert pip.startswith(
        "pip --python /opt/resizer install --no-binary pyvips --requirement requirements.txt"
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shell = program("sh", package="dash")
    output_of(shell, "-c", f"cd {tmp_path} && {python.replace('python ', f'{sys.executable} ', 1)}")
    listed = (tmp_path / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {re.split(r"[>\[]", line)[0] for line in listed} >= {"aiohttp", "pillow", "celery"}


def test_it_runs_as_a_user_with_a_number_and_without_rights() -> None:
    told = instructions()
    assert re.fullmatch(r"([1-9]\d+):\1", last("USER"))
    # all that only root can do is done by then
    assert [name for name, _ in told[told.index(("USER", last("USER"))) :]] == [
        *("USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    ]
    assert last("VOLUME") == variables()["RESIZER_DATA_DIR"]
    assert int(last("EXPOSE")) == Settings().server.port
    assert last("STOPSIGNAL") == "SIGTERM"


async def test_it_does_not_start_for_everyone_without_a_login(tmp_path: Path) -> None:
    async with started(tmp_path) as running:
        await running.said("server.api_tokens")
        assert await running.ended() == 2


async def test_it_is_healthy_while_it_answers_and_stops_when_asked(tmp_path: Path) -> None:
    port = str(free_port())
    check = exec_form("HEALTHCHECK")
    assert check.pop(0) == "python"
    # a proxy that containers are often given leads nowhere here
    asked = {**os.environ, "RESIZER_SERVER__PORT": port, "HTTP_PROXY": f"http://127.0.0.1:{free_port()}"}
    address = {"RESIZER_SERVER__HOST": "127.0.0.1", "RESIZER_SERVER__PORT": port}
    async with started(tmp_path, **address, RESIZER_SERVER__API_TOKENS="t") as running:
        await running.said(LISTENING.pattern)
        output_of(sys.executable, *check, **asked)
        assert await running.end() == 0
    with pytest.raises(AssertionError, match="refused"):
        output_of(sys.executable, *check, **asked)
