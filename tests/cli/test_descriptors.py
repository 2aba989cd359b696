"""How many files the process may open, and what is kept within it."""

import subprocess
import sys
from typing import Any

#: with one compressing process, what the defaults need
NEEDED = 3289

Case = tuple[int, int, dict[str, Any]]


def fitted(*cases: Case) -> list[tuple[str, list[int]]]:
    """Fit the defaults into a soft and a hard limit, in a process that cannot raise the hard one again.

    Returns for each case what was logged, and the limit then, connections and workers.
    """
    program = f"""
import logging, resource, sys
from resizer.cli.descriptors import within_descriptors
from resizer.config import load_settings
logging.basicConfig(stream=sys.stdout, format="%(message)s")
for soft, hard, options in {cases!r}:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fitted = within_descriptors(load_settings(), **options)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    print("=", limit, fitted.server.max_connections, fitted.queue.workers)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"RESIZER_COMPRESS__PROCESSES": "1"},
    )
    found, logged = [], ""
    for line in finished.stdout.splitlines():
        if line.startswith("= "):
            found.append((logged, [int(figure) for figure in line.split()[1:]]))
            logged = ""
        else:
            assert not logged, "there is one line"
            logged = line
    return found


def test_limit_of_open_files_is_raised_as_far_as_needed_and_no_further() -> None:
    assert fitted((2 * NEEDED, 2 * NEEDED, {}), (200, 2 * NEEDED, {}), (200, NEEDED, {})) == [
        ("", [2 * NEEDED, 1000, 32]),
        ("", [NEEDED, 1000, 32]),
        ("", [NEEDED, 1000, 32]),
    ]


def test_connections_and_workers_are_kept_within_a_low_limit() -> None:
    hard_limits = (NEEDED - 1, 1024, 256, 128, 64)
    cases: list[Case] = [(min(hard, 200), hard, {}) for hard in hard_limits]
    for hard, (line, (limit, connections, workers)) in zip(hard_limits, fitted(*cases), strict=True):
        assert limit == hard
        assert 1 <= connections < 1000
        assert 1 <= workers <= 32
        assert 2 * connections + 32 * workers < max(hard, 64)
        assert f"{hard} files" in line
        assert f"may need {NEEDED}" in line
        assert f"{connections} connections" in line
        assert (f"{workers} workers" in line) == (workers < 32)
        assert "ulimit -n" in line
        assert "LimitNOFILE=" in line


def test_what_a_command_does_not_do_needs_no_files() -> None:
    """`resizer run` has no connections, a worker none that stand in for it, a receiver fetches nothing."""
    run, worker, receiver = fitted(
        (200, 1289, {"serves": False}),
        (200, 329, {"serves": False, "by_worker": 2}),
        (200, 200, {"by_worker": 0}),
    )
    assert run == ("", [1289, 1000, 32])
    assert worker == ("", [329, 1000, 32])
    line, figures = receiver
    assert figures == [200, 50, 32]
    assert "workers" not in line
