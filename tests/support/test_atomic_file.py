"""Files are synced, name and content, before they are reported, and leftovers of a crash are removed."""

import asyncio
import re
import stat
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

import photos
from origin import Answer, Origin
from process import PATIENCE, environment
from resizer.config import WebhookSettings
from resizer.storage import local
from resizer.webhooks.signing import SECRET_FILE, load_secret
from service import Client, catalogue, settled, upload

Serve = Callable[..., Awaitable[Client]]

#: runs the command line, and prints every change of a name and every sync to standard error
TELLING = """
import os, sys

def telling(verb, function, place):
    def told(*args, **options):
        result = function(*args, **options)
        path = os.readlink(f"/proc/self/fd/{args[0]}") if place is None else os.path.abspath(args[place])
        print("STEP", verb, path, file=sys.stderr, flush=True)
        return result
    return told

os.fsync = telling("sync", os.fsync, None)
os.mkdir = telling("name", os.mkdir, 0)
os.link = telling("name", os.link, 1)
os.rename = os.replace = telling("name", os.replace, 1)

from resizer.cli import main
from resizer.database import Database

record = Database.record

async def told_record(self, outcome, **options):
    print("STEP record", outcome.compressed.filename, file=sys.stderr, flush=True)
    await record(self, outcome, **options)

Database.record = told_record
main()
"""
STEP = re.compile(r"^STEP (\w+) (.+)$", re.MULTILINE)


async def steps_of(*arguments: str | Path) -> list[tuple[str, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TELLING, *map(str, arguments), stderr=asyncio.subprocess.PIPE, env=environment()
    )
    async with asyncio.timeout(PATIENCE):
        _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    return STEP.findall(log.decode())


def follow(steps: Sequence[tuple[str, str]], *wanted: tuple[str, Path | str]) -> bool:
    """Return whether these steps occur in this order, with any others between them."""
    rest = iter(steps)
    return all((verb, str(path)) in rest for verb, path in wanted)


async def test_run_syncs_content_then_name_before_it_goes_on(tmp_path: Path, origin: Origin) -> None:
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source, out = tmp_path / "products.csv", tmp_path / "new" / "out"
    source.write_bytes(catalogue([("One", url)]))
    steps = await steps_of("run", source, "--output", out)

    data, compressed = out / ".resizer", out / "compressed"
    (image,) = compressed.iterdir()
    (draft,) = (path for verb, path in steps if verb == "sync" and path.endswith("-1.draft"))
    for folder in (out.parent, out, data, compressed):
        assert follow(steps, ("name", folder), ("sync", folder.parent), ("sync", draft)), (folder, steps)
    assert follow(steps, ("sync", draft), ("name", image), ("sync", compressed), ("record", image.name)), (
        steps
    )

    (temporary,) = (path for verb, path in steps if verb == "sync" and f".{SECRET_FILE}-" in path)
    assert follow(steps, ("sync", temporary), ("name", data / SECRET_FILE), ("sync", data)), steps

    result = out / "result.csv"
    assert follow(steps, ("sync", out / ".result.csv.draft"), ("name", result), ("sync", out)), steps
    assert steps[-1] == ("sync", str(out))  # and only then it is reported
    assert {path.name for path in out.iterdir()} == {".resizer", "compressed", "result.csv"}


async def test_image_is_not_recorded_before_its_name_is_on_disk(
    serve: Serve, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    running, gate = threading.Event(), threading.Event()

    def held(_: Path) -> None:
        running.set()
        assert gate.wait(PATIENCE)

    monkeypatch.setattr(local, "sync_folder", held)
    accepted = await upload(client, catalogue([("One", url)]))
    try:
        assert await asyncio.to_thread(running.wait, PATIENCE)
        assert [path.suffix for path in (tmp_path / "data" / "compressed").iterdir()] == [".jpg"]
        async with client.get(f"/status/{accepted['request_id']}", headers={"Prefer": "wait=1"}) as response:
            assert (await response.json())["images"]["pending"] == 1
    finally:
        gate.set()
    assert (await settled(client, accepted["request_id"]))["status"] == "completed"


def test_leftovers_of_a_crash_beside_the_secret_are_swept(tmp_path: Path) -> None:
    secret = load_secret(WebhookSettings(), tmp_path)
    left = tmp_path / f".{SECRET_FILE}-abcdefgh"
    left.hardlink_to(tmp_path / SECRET_FILE)
    assert load_secret(WebhookSettings(), tmp_path) == secret
    assert [path.name for path in tmp_path.iterdir()] == [SECRET_FILE]
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600
