"""The option that bounds the time of a long run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.fixture(scope="session")
def dear():
    assert not SPENT, "nothing is set up for a test that is not started"

@pytest.mark.parametrize("number", range(4))
def test_it(number, dear):
    pass
"""


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("budget, ended", [("600", "4 passed"), ("0", "4 skipped")])
def test_what_would_begin_too_late_is_left_out_and_named(
    budget: str, ended: str, workers: str, tmp_path: Path
) -> None:
    spent = budget == "0"
    (tmp_path / "test_it.py").write_text(TESTS.replace("SPENT", str(spent)), encoding="utf-8")
    plugins = ["-p", "xdist.plugin", "-p", "budget"]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", *plugins, "--budget", budget, "-n", workers, "."],
        # quick without unneeded plugins
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(Path(__file__).parent / "support"),
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout
    assert ended in finished.stdout.splitlines()[-1]
    for number in range(4):
        assert (f"not started within 0 s: test_it.py::test_it[{number}]" in finished.stdout) == spent
