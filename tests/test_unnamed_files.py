"""No unused file remains after a process was killed before recording it."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from outcomes import MakeBatch, done
from process import PATIENCE, Process, get_json, ran, server
from resizer.cli import check
from resizer.config import load_settings
from resizer.database import Database, unnamed_among
from resizer.storage.base import Storage
from resizer.support.failpoints import EXIT_CODE, VARIABLE, Point
from service import catalogue, form

ARMED = {VARIABLE: Point.RENAMED}
GONE = Answer(status=404)


def images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)


async def left_by_a_crash(folder: Path, origin: Origin) -> Path:
    """Kill the service between rename and commit, and remove the image from the origin."""
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with server(folder, **ARMED) as process, aiohttp.ClientSession() as session:
        body = form(catalogue([("One", origin.url("/a.jpg"))]))
        async with session.post(f"{await process.url()}/upload", data=body) as response:
            assert response.status == 202
        assert (await process.ended())[0] == EXIT_CODE
    origin.add("/a.jpg", GONE)
    (file,) = images(folder / "compressed")
    return file


async def ended(url: str, session: aiohttp.ClientSession) -> str:
    """Wait for the only request; returns its status."""
    (listed,) = (await get_json(session, f"{url}/requests"))["data"]
    status = await get_json(session, listed["status_url"], Prefer="wait=60")
    return str(status["status"])


async def test_start_collects_what_a_crash_left(tmp_path: Path, origin: Origin) -> None:
    file = await left_by_a_crash(tmp_path, origin)
    age(file)
    async with server(tmp_path) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        await process.said("removing 1 files that no request names")
        assert await ended(url, session) == "failed"
        async with asyncio.timeout(PATIENCE):
            while file.exists():  # noqa: ASYNC110 - another process removes it
                await asyncio.sleep(0.05)
    assert images(tmp_path / "compressed") == []
    assert (await ran("check", "--data-dir", tmp_path))[:2] == (0, "sound\n")


async def test_check_reports_and_fixes_it_without_a_server(tmp_path: Path, origin: Origin) -> None:
    file = await left_by_a_crash(tmp_path, origin)
    code, output, log = await ran("check", "--data-dir", tmp_path)
    assert (code, output) == (1, "faulty\n")
    assert f"{file.name} is used by no request" in log
    assert file.exists()
    code, output, log = await ran("check", "--fix", "--data-dir", tmp_path)
    assert (code, output) == (0, "sound\n"), log
    assert "1 files were removed" in log
    assert images(tmp_path / "compressed") == []
    assert list((tmp_path / "spool").iterdir()) == []


async def test_check_has_a_server_that_runs_remove_it(tmp_path: Path, origin: Origin) -> None:
    file = await left_by_a_crash(tmp_path, origin)
    async with server(tmp_path) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        assert await ended(url, session) == "failed"
        # too young: it may be recorded soon
        assert (await ran("check", "--fix", "--data-dir", tmp_path))[:2] == (0, "sound\n")
        assert file.exists()
        age(file)
        code, output, log = await ran("check", "--data-dir", tmp_path)
        assert (code, output) == (1, "faulty\n"), log
        code, output, log = await ran("check", "--fix", "--data-dir", tmp_path)
        assert (code, output) == (0, "sound\n"), log
        async with session.get(f"{url}/compressed/{file.name}") as response:
            assert response.status == 404
    assert not file.exists()


async def test_run_leaves_no_file_of_a_run_that_was_killed(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source, out = tmp_path / "products.csv", tmp_path / "out"
    source.write_bytes(catalogue([("One", origin.url("/a.jpg"))]))
    async with Process("run", source, "--output", out, variables=ARMED) as process:
        assert (await process.ended())[0] == EXIT_CODE
    assert len(images(out / "compressed")) == 1
    origin.add("/a.jpg", GONE)
    code, _, log = await ran("run", source, "--output", out)
    assert code == 1, log
    assert images(out / "compressed") == []
    assert list((out / ".resizer" / "spool").iterdir()) == []


async def test_start_removes_leftovers_of_workers_and_backups(tmp_path: Path) -> None:
    spool = tmp_path / "workers" / "killed"
    spool.mkdir(parents=True)
    (spool / "1.image").write_bytes(b"half")
    old, young = (tmp_path / f".{digit * 16}.draft" for digit in "01")
    for draft in (old, young):
        draft.write_bytes(b"half a copy of the database")
    age(old)
    async with server(tmp_path) as process:
        await process.url()
    assert not spool.exists()
    assert not old.exists()
    assert young.exists()


async def test_backup_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    data, copies = tmp_path / "data", tmp_path / "copies"
    copies.mkdir()
    async with server(data) as process:
        await process.url()
    old, other = copies / f".{'0' * 16}.draft", copies / ".notes.draft"
    for draft in (old, other):
        draft.write_bytes(b"half")
    age(old, other)
    assert (await ran("backup", copies / "copy.db", "--data-dir", data))[0] == 0
    assert sorted(path.name for path in copies.iterdir()) == [".notes.draft", "copy.db"]


async def test_check_misses_no_file_of_a_request_that_was_just_deleted(
    tmp_path: Path, database: Database, batch_of: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await batch_of(["h"])
    await database.record(done(batch.id, 0))
    settings = load_settings(
        None, {"data_dir": str(tmp_path), "database": {"path": str(tmp_path / "resizer.db")}}
    )
    assert (await check.find(settings, settings.database_file)).missing == [f"{0:032x}.jpg"]

    async def deleted_before(storage: Storage, name: str) -> str | None:
        del storage
        await database.removal.forget(batch.id)
        while await database.removal.delete_some(batch.id):
            pass
        return name

    monkeypatch.setattr(check, "lost", deleted_before)
    assert (await check.find(settings, settings.database_file)).missing == []


async def test_check_reports_no_file_that_was_just_removed(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database  # only its file is needed
    settings = load_settings(
        None, {"data_dir": str(tmp_path), "database": {"path": str(tmp_path / "resizer.db")}}
    )
    settings.storage_folder.mkdir()
    file = settings.storage_folder / f"{0:032x}.jpg"
    file.write_bytes(b"image")
    assert (await check.find(settings, settings.database_file)).unused == [file.name]

    def removed_before(path: Path, names: Collection[str]) -> list[str]:
        file.unlink()
        return unnamed_among(path, names)

    monkeypatch.setattr(check, "unnamed_among", removed_before)
    assert (await check.find(settings, settings.database_file)).unused == []


async def test_restored_database_keeps_the_files_of_later_requests(tmp_path: Path, origin: Origin) -> None:
    """Shops may show these files; only a person can decide to delete them."""
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with server(data) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        assert (await ran("backup", copy, "--data-dir", data))[0] == 0
        async with session.post(
            f"{url}/upload", data=form(catalogue([("One", origin.url("/a.jpg"))]))
        ) as response:
            assert response.status == 202
        assert await ended(url, session) == "completed"
        process.signal(signal.SIGTERM)
        await process.ended()
    (file,) = images(data / "compressed")
    assert (await ran("restore", copy, "--data-dir", data))[0] == 0
    with closing(sqlite3.connect(data / "resizer.db")) as connection:
        ((since,),) = connection.execute("SELECT since FROM collection")
    assert since >= file.stat().st_mtime
    assert (await ran("check", "--data-dir", data))[:2] == (1, "faulty\n")
    assert file.exists()
    assert (await ran("check", "--fix", "--data-dir", data))[:2] == (0, "sound\n")
    assert not file.exists()
