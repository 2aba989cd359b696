"""schemathesis sends valid and invalid calls, and finds no failures."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest

import photos
from origin import Answer, Origin
from process import server

#: makes the calls reproducible
SEED = 20260131
TOKEN = "a-token-of-the-test"
PHASES = frozenset({"examples", "fuzzing", "stateful"})
#: the slowest phase: every boundary of every schema
COVERAGE = frozenset({"coverage"})
#: statuses caused by image hosts
CONFIG = """\
[[operations]]
include-operation-id = "getOriginal"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "502"]
"""
HOOKS = Path(__file__).parent / "support" / "schemathesis_hooks.py"


async def report_of(
    url: str, folder: Path, *, origin: Origin, phases: AbstractSet[str], examples: int, token: str
) -> dict[str, Any]:
    """Run every check in these phases; print the findings, and return the report."""
    (folder / "schemathesis.toml").write_text(CONFIG)  # read from the working directory
    report = folder / "report.json"
    login = ["--header", f"Authorization: Bearer {token}"] if token else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
        "--checks", "all", "--phases", ",".join(sorted(phases)), "--mode", "all",
        "--max-examples", str(examples), "--seed", str(SEED), "--generation-database", "none",
        "--continue-on-failure", "--no-color", "--warnings", "off", "--no-shrink",
        "--report", "json", "--report-json-path", str(report), *login,
        cwd=folder,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": HOOKS.stem,
            "PYTHONPATH": str(HOOKS.parent),
            "IMAGES_ORIGIN": origin.url("/").rstrip("/"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    print(output.decode())  # noqa: T201 - shown by pytest on failure
    assert report.exists(), output.decode()
    found: dict[str, Any] = json.loads(report.read_text())
    return found


async def check(folder: Path, origin: Origin, *, phases: AbstractSet[str], examples: int, token: str) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    origin.add("/b.png", Answer(body=photos.png_with_alpha()))
    origin.add("/hook", Answer(status=204))
    variables: Mapping[str, str] = {
        "RESIZER_SERVER__API_TOKENS": token,
        "RESIZER_FETCH__RETRIES": "0",
        "RESIZER_COMPRESS__PROCESSES": "1",
    }
    async with server(folder / "data", **variables) as process:
        url = await process.url()
        report = await report_of(url, folder, origin=origin, phases=phases, examples=examples, token=token)
        assert "(end)" not in process.log
    figures = {name: report[name] for name in ("seed", "operations", "test_cases", "running_time")}
    print(json.dumps(figures))  # noqa: T201 - figures of the run
    assert report["complete"], report["stop_reason"]
    assert report["failures"] == []
    assert report["errors"] == []
    assert report["exit_code"] == 0
    assert {name for name, phase in report["phases"].items() if phase["status"] == "success"} == phases
    assert report["operations"]["tested"] == report["operations"]["total"] > 15
    assert report["test_cases"]["generated"] > 100 * len(phases & COVERAGE)
    assert not [line for line in process.log if "Traceback" in line]


@pytest.mark.early(2)
@pytest.mark.timeout(600)
async def test_schemathesis_finds_nothing(tmp_path: Path, origin: Origin) -> None:
    await check(tmp_path, origin, phases=PHASES, examples=1, token=TOKEN)


@pytest.mark.early(1)
@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "token, phases",
    [pytest.param(TOKEN, COVERAGE, id="login"), pytest.param("", PHASES | COVERAGE, id="no login")],
)
async def test_schemathesis_finds_nothing_at_any_boundary(
    token: str, phases: AbstractSet[str], tmp_path: Path, origin: Origin
) -> None:
    await check(tmp_path, origin, phases=phases, examples=3, token=token)
