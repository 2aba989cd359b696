"""Files are synced, name and content, before they are reported, and leftovers of a crash are removed."""

import asyncio
import errno
import os
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
from resizer.storage import local
from resizer.support.atomic_file import DRAFT, atomic_write, create_once
from resizer.webhooks.signing import SECRET_FILE
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

    for target in (data / SECRET_FILE, out / "result.csv"):
        named = steps.index(("name", str(target)))
        verb, draft = steps[named - 1]
        assert verb == "sync"
        assert DRAFT.fullmatch(Path(draft).name)
        assert follow(steps[named:], ("name", target), ("sync", target.parent)), steps
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

    monkeypatch.setattr(local, "sync", held)
    accepted = await upload(client, catalogue([("One", url)]))
    try:
        assert await asyncio.to_thread(running.wait, PATIENCE)
        assert [path.suffix for path in (tmp_path / "data" / "compressed").iterdir()] == [".jpg"]
        async with client.get(f"/status/{accepted['request_id']}", headers={"Prefer": "wait=1"}) as response:
            assert (await response.json())["images"]["pending"] == 1
    finally:
        gate.set()
    assert (await settled(client, accepted["request_id"]))["status"] == "completed"


def test_file_is_replaced_whole_or_left_as_it_is(tmp_path: Path) -> None:
    target, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(target)
    target.write_text("first")

    def fail_halfway() -> None:
        with atomic_write(target) as draft:
            draft.write_text("sec")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert target.read_text() == "first"
    with atomic_write(link, mode=0o600) as draft:
        draft.write_text("second")
        assert target.read_text() == "first"
    assert link.is_symlink()
    assert target.read_text() == "second"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}


@pytest.mark.parametrize("with_links", [True, False])
def test_first_writer_of_a_file_decides_what_it_holds(
    *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_links: bool
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if not with_links:
        monkeypatch.setattr(os, "link", fail)
    target = tmp_path / "file"
    assert create_once(target, "first", mode=0o600) == "first"
    assert create_once(target, "second") == "first"
    assert target.read_text() == "first\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [target]


def test_writer_that_comes_second_at_the_last_moment_gets_the_line_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, link = tmp_path / "file", os.link

    def lose(source: Path, name: Path) -> None:
        target.write_text("first\n")
        link(source, name)

    monkeypatch.setattr(os, "link", lose)
    assert create_once(target, "second") == "first"
    assert [*tmp_path.iterdir()] == [target]


def test_old_drafts_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    old, young, strange = (tmp_path / f".{name}.draft" for name in ("0" * 16, "1" * 16, "mine"))
    for each in (old, young, strange):
        each.write_text("half")
    for each in (old, strange):
        os.utime(each, (0, 0))
    with atomic_write(tmp_path / "file"):
        assert not old.exists()
    assert {path.name for path in tmp_path.iterdir()} == {young.name, strange.name, "file"}
