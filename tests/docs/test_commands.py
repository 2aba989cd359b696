"""Every command in the documents is run, and does what the document says."""

import csv
import json
from pathlib import Path

import pytest
from documents import Block, Document, documents
from reader import Done, Reader, same_fields

from origin import Origin

#: commands that are not run here, and why
NOT_TYPED = {
    "python3 -m venv .venv && . .venv/bin/activate && pip install .": "needs a package registry",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest -n 4": "runs this",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]'": "needs a package registry",
    ".venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy": ".ci/run does it",
    ".venv/bin/pytest -n 4": "runs this",
    ".venv/bin/python tests/docs/making.py": "tests/docs/test_made.py does it without writing",
    "resizer demo": "takes half a minute of both cores; tests/cli/test_demo.py runs it",
    ".venv/bin/pip install -e '.[dev]' && .venv/bin/python -m benchmarks --json figures.json": (
        "takes an hour; tests/test_benchmarks.py runs --quick"
    ),
    ".venv/bin/pip install -e '.[dev]' && .venv/bin/python -m benchmarks pictures --crops crops": (
        "takes ten minutes; tests/test_benchmarks.py runs --quick"
    ),
}
#: exit codes other than 0: one image of the README's catalogue is missing
CODES = {
    "resizer run products.csv --output out": 1,
    "resizer run products.csv --output out --quality 40 --format webp --max-width 1200 --max-height 1200": 1,
    "resizer run products.csv --output squares --max-width 1000 --max-height 1000 --fit pad "
    "--background '#f4f4f4' --effort small": 1,
    "resizer submit products.csv --wait": 1,
    "resizer submit products.csv --wait --output result.csv": 1,
    "resizer submit --resume 0b6e… --output result.csv": 1,
    "resizer submit products.csv --webhook-url http://127.0.0.1:8081/webhook --wait": 1,
}
#: HTTP statuses other than 2xx, and why
STATUSES = {
    "curl -X POST http://127.0.0.1:8080/requests/0b6e…/cancel": (409, "it has ended by then"),
}

WITH_COMMANDS = [each for each in documents() if any(block.language == "sh" for block in each.blocks())]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda each: each.name)
async def test_every_command_does_what_the_document_says(
    document: Document, tmp_path: Path, origin: Origin
) -> None:
    done: Done | None = None
    before: Block | None = None
    async with Reader(tmp_path, origin) as reader:
        for block in document.blocks():
            where = f"{document.name}:{block.line}"
            follows = before is not None and before.language == "sh" and block.follows(before)
            if block.language == "sh":
                done = None
                for command in block.commands():
                    if command not in NOT_TYPED:
                        done = await reader.type(command)
                        _check(command, done, where)
            elif done is not None and follows and block.language == "json":
                shown, answered = json.loads(block.text), json.loads(done.output)
                assert same_fields(shown, answered), f"{where} differs from the response:\n{done.output}"
            elif done is not None and follows and block.language == "csv":
                _compare_results(block.text, reader.saved("result.csv"), where)
            before = block


def test_no_exception_is_for_a_command_that_is_gone() -> None:
    commands = {
        command
        for document in WITH_COMMANDS
        for block in document.blocks()
        if block.language == "sh"
        for command in block.commands()
    }
    assert {*NOT_TYPED, *CODES, *STATUSES} <= commands


def _compare_results(shown: str, saved: str, where: str) -> None:
    """Compare a documented result with a real one: columns, rows, empty slots."""
    expected, found = ([*csv.reader(text.splitlines())] for text in (shown, saved))
    assert expected[0] == found[0], where
    assert [row[:2] for row in expected] == [row[:2] for row in found], where
    slots = [[[bool(slot) for slot in row[3].split(",")] for row in rows[1:]] for rows in (expected, found)]
    assert slots[0] == slots[1], where


def _check(command: str, done: Done, where: str) -> None:
    outcome = f"{where}: {command}\nends with {done.code}\n{done.output}\n{done.errors}"
    assert done.code == CODES.get(command, 0), outcome
    for status in done.statuses:
        if command in STATUSES:
            assert status == STATUSES[command][0], outcome
        else:
            assert 200 <= status <= 299, outcome
