import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import photos
from full_disk import tmpfs
from origin import Answer, Origin
from process import Process, get_json, ran, server
from service import catalogue, form


async def uploaded(session: aiohttp.ClientSession, url: str, rows: list[tuple[str, ...]]) -> str:
    async with session.post(f"{url}/upload", data=form(catalogue(rows))) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["request_id"])


async def settled(session: aiohttp.ClientSession, url: str, request_id: str) -> dict[str, Any]:
    return await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")


def names_beside(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


async def test_copy_of_a_running_service_is_restored_and_goes_on(tmp_path: Path, origin: Origin) -> None:
    """A request that ended and one midway, copied; more work after it; then the clock is put back."""
    gate = asyncio.Event()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    origin.add("/b.jpg", Answer(body=photos.jpeg(seed=1), gate=gate))
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    async with aiohttp.ClientSession() as session:
        async with server(data) as process:
            url = await process.url()
            ended = await uploaded(session, url, [("One", origin.url("/a.jpg"))])
            await settled(session, url, ended)
            midway = await uploaded(session, url, [("Two", origin.url("/a.jpg"), origin.url("/b.jpg"))])
            await origin.arrived("/b.jpg")
            code, output, log = await ran("backup", copy, "--data-dir", data)
            assert (code, output.strip()) == (0, str(copy)), log
            assert "2 requests with 3 images" in log
            gate.set()
            await settled(session, url, midway)
            later = await uploaded(session, url, [("Three", origin.url("/a.jpg"))])
            await settled(session, url, later)
            code, _, log = await ran("restore", copy, "--data-dir", data)
            assert code == 1
            assert "in use by another resizer" in log
            process.signal(signal.SIGTERM)
            await process.ended()
        code, output, log = await ran("restore", copy, "--data-dir", data)
        assert (code, output.strip()) == (0, str(data / "resizer.db")), log
        async with server(data) as process:
            url = await process.url()
            listed = await get_json(session, f"{url}/requests")
            assert {each["request_id"] for each in listed["data"]} == {ended, midway}
            assert (await settled(session, url, ended))["images"]["completed"] == 1
            assert (await settled(session, url, midway))["images"]["completed"] == 2
            code, output, log = await ran("check", "--data-dir", data)
            assert (code, output) == (0, "sound\n"), log
    # what stood there can be had again
    (aside,) = [name for name in names_beside(data / "resizer.db") if ".before-" in name]
    assert f"kept as {data / aside}" not in log
    code, _, log = await ran("restore", data / aside, "--data-dir", data)
    assert code == 0, log
    assert "3 requests with 4 images" in log


async def test_copy_after_a_kill_has_what_was_accepted(tmp_path: Path) -> None:
    """Its last transactions stand in the journal alone, which nobody has brought into the file."""
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    async with server(data) as process, aiohttp.ClientSession() as session:
        request_id = await uploaded(session, await process.url(), [("One", "ftp://nowhere/a.jpg")])
        process.signal(signal.SIGKILL)
        await process.ended()
    assert (data / "resizer.db-wal").stat().st_size > 0
    code, _, log = await ran("backup", copy, "--data-dir", data)
    assert code == 0, log
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT request_id FROM batches").fetchall() == [(request_id,)]
    assert names_beside(copy) == {"data", "copy.db"}


async def copied_midway(data: Path, copy: Path) -> str:
    """Kill a service after a request, a copy and another request; returns the id of the first one."""
    async with server(data) as process, aiohttp.ClientSession() as session:
        first = await uploaded(session, await process.url(), [("One", "ftp://nowhere/a.jpg")])
        assert (await ran("backup", copy, "--data-dir", data))[0] == 0
        await uploaded(session, await process.url(), [("Two", "ftp://nowhere/b.jpg")])
        process.signal(signal.SIGKILL)
        await process.ended()
    return first


async def test_restored_file_is_not_mixed_with_the_journal_of_the_earlier_one(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    first = await copied_midway(data, copy)
    assert (data / "resizer.db-wal").exists()
    assert (await ran("restore", copy, "--data-dir", data))[0] == 0
    assert not (data / "resizer.db-wal").exists()
    with closing(sqlite3.connect(data / "resizer.db")) as connection:
        assert connection.execute("SELECT request_id FROM batches").fetchall() == [(first,)]
    (aside,) = [name for name in names_beside(data / "resizer.db") if name.endswith("Z")]
    with closing(sqlite3.connect(data / aside)) as connection:
        assert connection.execute("SELECT count(*) FROM batches").fetchall() == [(2,)]


async def test_journal_that_a_lost_database_has_left_is_not_mixed_in(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    first = await copied_midway(data, copy)
    (data / "resizer.db").unlink()
    assert (await ran("restore", copy, "--data-dir", data))[0] == 0
    with closing(sqlite3.connect(data / "resizer.db")) as connection:
        assert connection.execute("SELECT request_id FROM batches").fetchall() == [(first,)]
    assert len([name for name in names_beside(data / "resizer.db") if name.endswith("Z-wal")]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
async def test_what_root_restores_is_the_service_users(tmp_path: Path) -> None:
    data, copy = await made(tmp_path / "data"), tmp_path / "copy.db"
    assert (await ran("backup", copy, "--data-dir", data))[0] == 0
    (data / "resizer.db").chmod(0o640)
    for name in ("lock", "resizer.db.lock"):
        (data / name).unlink()
    os.chown(data, 1234, 1235)
    code, _, log = await ran("restore", copy, "--data-dir", data)
    assert code == 0, log
    for name in ("resizer.db", "resizer.db.lock", "lock", "spool"):
        found = (data / name).stat()
        assert (found.st_uid, found.st_gid) == (1234, 1235), name
    assert (data / "resizer.db").stat().st_mode & 0o777 == 0o640


async def made(folder: Path) -> Path:
    """A data folder with a database in it."""
    async with server(folder) as process:
        await process.url()
        process.signal(signal.SIGTERM)
        await process.ended()
    return folder


def make_heavy(path: Path) -> None:
    """Give a copy something to do."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ballast (data BLOB)")
        connection.execute("INSERT INTO ballast VALUES (zeroblob(90000000))")
        connection.commit()


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize("what", ["missing", "text", "other", "newer", "damaged"])
async def test_restore_refuses_what_is_no_sound_copy_and_changes_nothing(what: str, tmp_path: Path) -> None:
    data, copy = await made(tmp_path / "data"), tmp_path / "copy.db"
    told = {
        "missing": "no such file",
        "text": "not a resizer database",
        "other": "not a resizer database",
        "newer": "newer version of resizer",
        "damaged": "damaged",
    }[what]
    if what == "text":
        copy.write_text("S. No.,Product Name" * 100, encoding="utf-8")
    elif what == "other":
        with closing(sqlite3.connect(copy)) as connection:
            connection.executescript("CREATE TABLE notes (text TEXT); PRAGMA user_version = 1;")
    elif what != "missing":
        assert (await ran("backup", copy, "--data-dir", data))[0] == 0
        if what == "newer":
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("PRAGMA user_version = 999")
        else:
            damage(copy)
    before, beside = (data / "resizer.db").read_bytes(), names_beside(data / "resizer.db")
    code, _, log = await ran("restore", copy, "--data-dir", data)
    assert code == 1
    assert told in log
    assert (data / "resizer.db").read_bytes() == before
    assert names_beside(data / "resizer.db") == beside


async def test_backup_replaces_the_last_one_only_by_a_whole_one(tmp_path: Path) -> None:
    data, copy = await made(tmp_path / "data"), tmp_path / "copy.db"
    (data / "resizer.db").chmod(0o600)
    assert (await ran("backup", copy, "--data-dir", data))[0] == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    good = copy.read_bytes()
    damage(data / "resizer.db")
    code, _, log = await ran("backup", copy, "--data-dir", data)
    assert code == 1
    assert "damaged" in log
    assert copy.read_bytes() == good
    assert names_beside(copy) == {"data", "copy.db"}
    code, output, _ = await ran("check", "--data-dir", data)
    assert (code, output) in {(1, "faulty\n"), (1, "")}


async def test_two_backups_to_one_file_at_once_are_both_whole(tmp_path: Path) -> None:
    data, copy = await made(tmp_path / "data"), tmp_path / "copy.db"
    make_heavy(data / "resizer.db")
    ended = await asyncio.gather(*[ran("backup", copy, "--data-dir", data) for _ in range(2)])
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert (await ran("restore", copy, "--data-dir", data))[0] == 0
    assert names_beside(copy) == {"data", "copy.db"}


async def test_backup_replaces_nothing_but_a_file(tmp_path: Path) -> None:
    data, pipe = await made(tmp_path / "data"), tmp_path / "pipe"
    os.mkfifo(pipe)
    code, _, log = await ran("backup", pipe, "--data-dir", data)
    assert code == 1
    assert "not a file that could be replaced" in log
    assert pipe.is_fifo()


async def test_backup_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    data, folder = await made(tmp_path / "data"), tmp_path / "copies"
    folder.mkdir()
    make_heavy(data / "resizer.db")
    async with Process("backup", folder / "copy.db", "--data-dir", data) as process:
        while not (drafts := [*folder.iterdir()]):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        (draft,) = [each for each in drafts if each.suffix == ".draft"]
        assert draft.stat().st_mode & 0o077 == 0
        process.signal(signal.SIGTERM)
        code, _ = await process.ended()
    assert code == 143
    assert names_beside(folder / "copy.db") == set()


async def test_backup_says_what_is_wrong_with_the_place(tmp_path: Path) -> None:
    data = await made(tmp_path / "data")
    code, _, log = await ran("backup", tmp_path / ("n" * 300), "--data-dir", data)
    assert code == 1
    assert "name too long" in log
    code, _, log = await ran("backup", tmp_path / "nowhere" / "copy.db", "--data-dir", data)
    assert code == 1
    assert "nowhere" in log
    code, _, log = await ran("backup", data / "resizer.db", "--data-dir", data)
    assert code == 2
    assert "the database itself" in log
    code, _, log = await ran("backup", tmp_path / "copy.db", "--data-dir", tmp_path / "empty")
    assert code == 1
    assert "no such file" in log


async def test_check_refuses_what_this_version_does_not_open(tmp_path: Path) -> None:
    data = await made(tmp_path / "data")
    with closing(sqlite3.connect(data / "resizer.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
    code, output, log = await ran("check", "--data-dir", data)
    assert (code, output) == (1, "")
    assert "newer version of resizer" in log


async def test_check_tells_missing_files_and_wrong_counters(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    data = tmp_path / "data"
    async with server(data) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        request_id = await uploaded(session, url, [("One", origin.url("/a.jpg"))])
        await settled(session, url, request_id)
        (file,) = (data / "compressed").glob("*.jpg")
        file.unlink()
        code, output, log = await ran("check", "--data-dir", data)
        assert (code, output) == (1, "faulty\n")
        assert f"{file.name} is missing" in log
        assert (await ran("check", "--no-files", "--data-dir", data))[:2] == (0, "sound\n")
        # a catalogue that comes again brings its files back under the same names
        await settled(session, url, await uploaded(session, url, [("One", origin.url("/a.jpg"))]))
        assert (await ran("check", "--data-dir", data))[:2] == (0, "sound\n")
        process.signal(signal.SIGTERM)
        await process.ended()
    with closing(sqlite3.connect(data / "resizer.db")) as connection, connection:
        connection.execute("UPDATE batches SET completed = completed + 1 WHERE request_id = ?", (request_id,))
    code, output, log = await ran("check", "--data-dir", data)
    assert (code, output) == (1, "faulty\n")
    assert f"the counters of request {request_id} are wrong" in log


async def test_backup_to_a_full_disk_says_so(tmp_path: Path) -> None:
    data = await made(tmp_path / "data")
    with tmpfs(tmp_path / "small", "size=64k") as disk:
        if disk is None:
            pytest.skip("no disk can be mounted here: run the tests as root, or in `unshare -Urm`")
        code, _, log = await ran("backup", disk.folder / "copy.db", "--data-dir", data)
        assert code == 1
        assert "no space left" in log
        assert str(disk.folder) in log
        assert names_beside(disk.folder / "copy.db") == set()
