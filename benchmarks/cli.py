"""The command line of the benchmarks."""

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    dead_host,
    distributed,
    fidelity,
    growth,
    intake,
    million,
    pipeline,
    revalidation,
    sizes,
    startup,
    status,
)
from benchmarks.corpus import default_folder
from benchmarks.loops import EFFORT
from benchmarks.machine import description
from benchmarks.options import Options, Part
from resizer.recipe import Effort

PARTS: dict[str, Part] = {
    "pipeline": pipeline.run,
    "sizes": sizes.run,
    "growth": growth.run,
    "million": million.run,
    "intake": intake.run,
    "status": status.run,
    "revalidation": revalidation.run,
    "dead-host": dead_host.run,
    "distributed": distributed.run,
    "startup": startup.run,
    "pictures": fidelity.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the service.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--images", type=int, help="images per corpus (default: that of the part)")
    parser.add_argument("--rounds", type=int, help="rounds whose median is reported (5; 2 with --quick)")
    parser.add_argument("--most", type=int, help="tiny images in the largest request of `growth` (10000)")
    parser.add_argument("--corpus", type=Path, default=default_folder(), help="folder of generated images")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--quick", action="store_true", help="few images and rounds, to check that it works")
    parser.add_argument("--effort", choices=list(Effort), help="effort in pipeline and sizes")
    parser.add_argument("--profile", action="store_true", help="profile the server; pipeline only")
    parser.add_argument("--crops", type=Path, help="folder for enlarged crops of the results of `pictures`")
    given = parser.parse_args()
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    if given.effort:
        os.environ[EFFORT] = given.effort
    options = Options(
        corpus=given.corpus.resolve(),
        images=given.images,
        rounds=given.rounds or (2 if given.quick else 5),
        most=given.most or (30 if given.quick else 10_000),
        quick=given.quick,
        profile=given.profile,
        crops=given.crops,
    )
    machine = description()
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()), flush=True)
    figures = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "parts": {name: PARTS[name](options) for name in given.parts or PARTS},
    }
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
