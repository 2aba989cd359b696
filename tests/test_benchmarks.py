"""The benchmarks run, and print their figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.early(1)
@pytest.mark.soak  # starts a dozen processes, each with all imports
def test_pipeline_tells_positive_figures_of_all_it_compares(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "pipeline", "--quick", "--images", "6", "--rounds", "1"]
    target = tmp_path / "figures.json"
    command += ["--corpus", str(tmp_path / "corpus"), "--json", str(target)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    pipeline = json.loads(target.read_text())["parts"]["pipeline"]
    assert [*pipeline] == ["jpeg", "mixed"]
    for corpus in pipeline.values():
        assert corpus["images"] == 6
        assert corpus["bytes_in"] > 0
        assert [*corpus["runs"]] == ["plain", "optimized", "codec", "service"]
        for (run,) in corpus["runs"].values():
            for name in ("seconds", "images_per_second", "own_cpu_ms"):
                assert run[name] > 0
            assert 0 < run["bytes_out"] < corpus["bytes_in"]
        assert [*corpus["runs"]["service"][0]["cpu_ms"]] == ["server", "pool", "origin"]
        assert all(mib > 0 for mib in corpus["peak_mib"].values())
        assert [*corpus["ratios"]] == ["b/a", "c/a", "c/o", "c/b"]
        assert all(ratio > 0 for each in corpus["ratios"].values() for ratio in each.values())


def test_part_that_does_not_exist_is_refused_by_name() -> None:
    command = [sys.executable, "-m", "benchmarks", "pipelin"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "there is no part pipelin; there are pipeline, sizes" in ended.stderr


@pytest.mark.soak  # the metrics are slow
def test_pictures_are_measured_in_every_format_and_effort(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "pictures", "--quick", "--images", "1"]
    target = tmp_path / "figures.json"
    command += [
        "--corpus",
        str(tmp_path / "corpus"),
        "--json",
        str(target),
        "--crops",
        str(tmp_path / "crops"),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(target.read_text())["parts"]["pictures"]
    assert [*figures] == ["jpeg", "webp", "avif", "png"]
    for rows in figures.values():
        assert {"effort fast", "effort balanced", "effort small"} <= {*rows}
        assert all(row["bytes"] > 0 for row in rows.values())
    assert {path.stem for path in (tmp_path / "crops").iterdir()} == {*figures}
