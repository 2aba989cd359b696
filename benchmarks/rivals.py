"""Other programs that compress images, each in its own environment."""

import json
import resource
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: result of a way: the file and its CPU seconds
Written = tuple[bytes, float]
Way = Callable[[bytes, int], Written]

SHARP: Final = """
import sharp from 'sharp'
import { readFileSync, writeFileSync } from 'node:fs'
sharp.concurrency(1)
sharp.cache(false)
const [source, target, kind, options] = process.argv.slice(2)
const data = readFileSync(source)
const before = process.cpuUsage()
const made = await sharp(data).toFormat(kind, JSON.parse(options)).toBuffer()
const used = process.cpuUsage(before)
writeFileSync(target, made)
console.log((used.user + used.system) / 1e6)
"""
OXIPNG: Final = """
import sys, time, oxipng
data = open(sys.argv[1], 'rb').read()
begun = time.process_time()
made = oxipng.optimize_from_memory(data, level=2)
used = time.process_time() - begun
open(sys.argv[2], 'wb').write(made)
print(used)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    #: folder of the package; None if it cannot be installed
    sharp: Path | None
    #: Python interpreter with the package
    oxipng: Path | None
    pngquant: str | None
    cjpeg: str | None

    @classmethod
    def installed(cls, folder: Path) -> "Rivals":
        """Install the programs that can be installed, and print the others."""
        found = cls(
            sharp=_sharp(folder / "sharp"),
            oxipng=_oxipng(folder / "oxipng"),
            pngquant=shutil.which("pngquant"),
            cjpeg=_mozjpeg(),
        )
        for name, why in (
            ("sharp", "npm cannot install it"),
            ("oxipng", "pip cannot install it"),
            ("pngquant", "not installed on this machine"),
            ("cjpeg", "mozjpeg's cjpeg is not installed on this machine; sharp contains mozjpeg"),
        ):
            if getattr(found, name) is None:
                print(f"without {name}: {why}", flush=True)
        return found

    def by_sharp(self, kind: str, **options: object) -> Way:
        def way(data: bytes, quality: int) -> Written:
            assert self.sharp is not None
            script = str(self.sharp / "encode.mjs")
            chosen = json.dumps({"quality": quality, **options})
            return _run(data, lambda source, target: ["node", script, source, target, kind, chosen])

        return way

    def by_oxipng(self, data: bytes) -> Written:
        return _run(data, lambda source, target: [str(self.oxipng), "-c", OXIPNG, source, target])

    def by_pngquant(self, data: bytes, _quality: int) -> Written:
        return _run(data, lambda source, target: [str(self.pngquant), "--output", target, source])

    def by_cjpeg(self, data: bytes, quality: int) -> Written:
        return _run(
            data,
            lambda source, target: [str(self.cjpeg), "-quality", str(quality), "-outfile", target, source],
        )


def _run(data: bytes, command: Callable[[str, str], list[str]]) -> Written:
    """Run a program on a file; the CPU time is the one it prints, or that of its process."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(data)
        before = _children()
        said = subprocess.run(
            command(str(source), str(target)), capture_output=True, text=True, check=True
        ).stdout
        return target.read_bytes(), float(said) if said.strip() else _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sharp(folder: Path) -> Path | None:
    script = folder / "encode.mjs"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        command = [str(npm), "install", "--no-audit", "--no-fund", "--prefix", str(folder), "sharp"]
        if npm is None or subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        script.write_text(SHARP)
    return folder


def _oxipng(folder: Path) -> Path | None:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        command = [str(python), "-m", "pip", "install", "-q", "oxipng-pybind"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            shutil.rmtree(folder)
            return None
    return python


def _mozjpeg() -> str | None:
    """Return cjpeg if it is that of mozjpeg; that of libjpeg has the same name."""
    if not (cjpeg := shutil.which("cjpeg")):
        return None
    said = subprocess.run([cjpeg, "-version"], capture_output=True, text=True, check=False)
    return cjpeg if "mozjpeg" in said.stdout + said.stderr else None
