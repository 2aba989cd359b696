"""A database that is locked, read-only, damaged or another's: told at start, answered while running."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import photos
from full_disk import read_only
from origin import Answer, Origin
from outcomes import MakeBatch
from process import PATIENCE, Process, server
from recovery import check_integrity
from resizer.app import DATABASE
from resizer.database import Database, open_database
from resizer.database.database import PRAGMAS
from resizer.database.reader import typed
from resizer.errors import DatabaseFailure, DatabaseUnusable, NoSpace
from service import SECRET, Client, Inbox, catalogue, form, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]

UNAVAILABLE = "urn:resizer:problem:database-unavailable"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a locked database for a moment only, and try again soon."""
    pragmas = (*PRAGMAS, "PRAGMA busy_timeout = 20")
    monkeypatch.setattr("resizer.database.database.PRAGMAS", pragmas)
    monkeypatch.setattr("resizer.pipeline.image.RECORD_PAUSE", (0.05, 0.2))


def database_of(client: Client) -> Database:
    found: Database = client.server.app[DATABASE]  # type: ignore[attr-defined]
    return found


@asynccontextmanager
async def locked(_: Client, file: Path) -> AsyncIterator[None]:
    # in a thread: while the service writes, it wants the loop to go on
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def not_writable(client: Client, _: Path) -> AsyncIterator[None]:
    writing = database_of(client).writer._connection  # noqa: SLF001  it is the fault's place
    await writing.execute("PRAGMA query_only = ON")
    yield
    await writing.execute("PRAGMA query_only = OFF")


async def test_database_that_is_locked_for_a_moment_is_waited_for(
    serve: Serve, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    gate = asyncio.Event()
    data = catalogue([("One", origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate)))])
    request_id = (await upload(client, data))["request_id"]
    await origin.arrived("/a.jpg")
    async with locked(client, tmp_path / "data" / "resizer.db"):
        another = asyncio.create_task(upload(client, data))
        gate.set()
        async with asyncio.timeout(PATIENCE):
            # its next step is to be recorded
            while not list((tmp_path / "data" / "compressed").glob("*.jpg")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with client.get(f"/status/{request_id}") as response:
            assert (await response.json())["images"]["pending"] == 1
        assert not another.done()
    for each in (request_id, (await another)["request_id"]):
        assert (await settled(client, each))["status"] == "completed"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param((locked, "another program keeps it locked"), id="locked"),
        pytest.param((not_writable, "it may only be read"), id="read-only"),
    ],
)
async def test_database_that_cannot_be_written_is_told_and_nothing_is_lost(
    fault: tuple[Callable[[Client, Path], AbstractAsyncContextManager[None]], str],
    serve: Serve,
    origin: Origin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cannot_be_written, told = fault
    client = await serve(webhook={"secret": SECRET})
    gate = asyncio.Event()
    rows = [
        (f"P{number}", origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number), gate=gate)))
        for number in range(2)
    ]
    async with Inbox() as inbox:
        request_id = (await upload(client, catalogue(rows), webhook_url=inbox.url))["request_id"]
        for number in range(2):
            await origin.arrived(f"/{number}.jpg")
        async with cannot_be_written(client, tmp_path / "data" / "resizer.db"):
            gate.set()
            async with client.post("/upload", data=form(catalogue(rows))) as response:
                body = await problem(response, 503)
                assert int(response.headers["Retry-After"]) > 0
            assert body["type"] == UNAVAILABLE
            assert told in body["detail"]
            async with client.get("/readyz") as response:
                assert (await problem(response, 503))["failing"] == ["database"]
            async with asyncio.timeout(PATIENCE):
                while caplog.text.count("cannot record an outcome") < 6:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            for path in ("/ping", f"/status/{request_id}", f"/result/{request_id}?partial=1"):
                async with client.get(path) as response:
                    assert response.status == 200
        assert (await settled(client, request_id))["status"] == "completed"
        assert set(origin.hits.values()) == {1}
        await inbox.events(1)
        async with client.get("/readyz") as response:
            assert response.status == 200
        again = await upload(client, catalogue(rows))
        assert (await settled(client, again["request_id"]))["status"] == "completed"
        assert inbox.answers == [204]
    assert "Traceback" not in caplog.text
    await client.close()
    check_integrity(tmp_path / "data")


async def test_damage_that_is_met_while_running_is_told_without_a_traceback(
    serve: Serve, origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    rows = [("One", origin.add("/a.jpg", Answer(body=photos.jpeg())))]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    await settled(client, request_id)
    file = tmp_path / "data" / "resizer.db"
    database = database_of(client)
    # else what is in memory and in the journal would do for a while
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    garbage(file)
    await database.writer._connection.execute("PRAGMA shrink_memory")  # noqa: SLF001
    await database._reader._connection.execute("PRAGMA shrink_memory")  # noqa: SLF001
    for path in (f"/status/{request_id}", f"/result/{request_id}", "/requests"):
        async with client.get(path) as response:
            body = await problem(response, 503)
        assert body["type"] == UNAVAILABLE
        assert "restore a backup" in body["detail"]
    async with client.post("/upload", data=form(catalogue(rows))) as response:
        assert (await problem(response, 503))["type"] == UNAVAILABLE
    async with client.get("/readyz") as response:
        assert (await problem(response, 503))["failing"] == ["database"]
    async with client.get("/ping") as response:
        assert response.status == 200
    assert "not ready: database: the database does not answer: it is damaged" in caplog.text
    assert "Traceback" not in caplog.text


def garbage(file: Path, *, start: int = 0) -> None:
    size = file.stat().st_size - start
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(b"garbage!" * (size // 8))


def garbage_in_the_middle(file: Path) -> None:
    garbage(file, start=file.stat().st_size // 2 // 4096 * 4096)


def cut_short(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def cut_in_a_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(1000)


def of_another_program(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE batches (name)")


def of_another_program_that_counts(file: Path) -> None:
    of_another_program(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1")


def same_but_for_the_head(one: Path, other: Path) -> bool:
    """The head holds a counter of changes, and the kind of journal."""
    return one.read_bytes()[100:] == other.read_bytes()[100:]


@pytest.fixture
async def used(tmp_path: Path, batch_of: MakeBatch) -> Path:
    """A database that holds a batch, as it lies there after an orderly end."""
    await batch_of(["host"] * 2000)
    with closing(sqlite3.connect(tmp_path / "resizer.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "data").mkdir()
    return Path(shutil.copy(tmp_path / "resizer.db", tmp_path / "data"))


@pytest.mark.parametrize(
    "spoil, told",
    [
        (garbage, "damaged or no database of ours"),
        (garbage_in_the_middle, "damaged or no database of ours"),
        (cut_short, "damaged or no database of ours"),
        (cut_in_a_page, "damaged or no database of ours"),
        (of_another_program, "belongs to another program"),
        (of_another_program_that_counts, "no such table"),
    ],
)
async def test_database_that_is_spoilt_is_refused_and_left_alone(
    spoil: Callable[[Path], None], told: str, used: Path
) -> None:
    spoil(used)
    copy = shutil.copy(used, used.with_suffix(".copy"))
    with pytest.raises(DatabaseUnusable) as caught:
        async with open_database(used, lambda _: ()):
            pass
    assert told in str(caught.value)
    assert str(used) in str(caught.value)
    assert same_but_for_the_head(used, Path(copy))


async def test_server_on_a_damaged_database_ends_with_2_and_the_file(used: Path) -> None:
    garbage_in_the_middle(used)
    async with server(used.parent) as process:
        code, _ = await process.ended()
    text = "\n".join(process.log)
    assert code == 2
    assert f"{used} cannot be used: it is damaged" in text
    assert "restore a backup" in text
    assert "Traceback" not in text


@pytest.mark.usefixtures("impatient")
async def test_database_that_another_program_locks_is_refused_at_start(used: Path) -> None:
    with closing(sqlite3.connect(used, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnusable, match="another program keeps it locked; close that program"):
            async with open_database(used, lambda _: ()):
                pass
    async with open_database(used, lambda _: ()) as database:
        await database.check()


@pytest.mark.parametrize("what", ["the file", "its folder"])
async def test_database_that_may_not_be_written_is_refused_at_start(what: str, used: Path) -> None:
    with read_only(used if what == "the file" else used.parent) as arranged:
        if not arranged:
            pytest.skip("nothing may be mounted here, and modes do not bind root")
        async with server(used.parent) as process:
            code, _ = await process.ended()
    text = "\n".join(process.log)
    assert code == 2
    assert str(used if what == "the file" else used.parent) in text
    assert "it may only be read" in text or "mounted read-only" in text or "no permission" in text
    assert "Traceback" not in text


async def test_journal_that_is_garbage_costs_what_stood_in_it_and_no_more(used: Path, tmp_path: Path) -> None:
    """SQLite takes a journal only as far as its checksums are right."""
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    async with open_database(used, lambda _: ()) as database:
        await database.check()
        shutil.copy(used, crashed)
    (crashed / "resizer.db-wal").write_bytes(b"garbage!" * 1000)
    async with open_database(crashed / "resizer.db", lambda _: ()) as database:
        await database.check()
    check_integrity(crashed)


async def test_file_without_content_is_a_new_database(tmp_path: Path) -> None:
    """A crash at the very first start leaves one."""
    (tmp_path / "resizer.db").touch()
    async with open_database(tmp_path / "resizer.db", lambda _: ()) as database:
        await database.check()


async def test_journal_gives_back_the_disk_that_it_took(tmp_path: Path) -> None:
    file = tmp_path / "resizer.db"
    journal = tmp_path / "resizer.db-wal"
    async with open_database(file, lambda _: ()) as database:

        async def write(connection: Any) -> None:
            await connection.execute("INSERT INTO t VALUES (zeroblob(50000000))")

        await database.writer.run(lambda connection: connection.execute("CREATE TABLE t (x)"))
        with closing(sqlite3.connect(file, isolation_level=None)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM batches").fetchall()
            await database.writer.run(write)
            assert journal.stat().st_size > 50_000_000
        for _ in range(3):
            await database.check()
        assert journal.stat().st_size < 40_000_000


@pytest.mark.parametrize(
    "code, kind, told",
    [
        (sqlite3.SQLITE_FULL, NoSpace, "free some"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, NoSpace, "free some"),
        (sqlite3.SQLITE_IOERR_WRITE, DatabaseFailure, "check the disk"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, DatabaseFailure, "locked"),
        (sqlite3.SQLITE_READONLY_DBMOVED, DatabaseFailure, "only be read"),
        (sqlite3.SQLITE_CORRUPT_INDEX, DatabaseFailure, "restore a backup"),
        (sqlite3.SQLITE_CANTOPEN, DatabaseFailure, "cannot be opened"),
        (sqlite3.SQLITE_SCHEMA, DatabaseFailure, "as SQLite says it"),
        (None, DatabaseFailure, "as SQLite says it"),
    ],
)
def test_every_fault_says_what_to_do(code: int | None, kind: type[Exception], told: str) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    if code is not None:
        error.sqlite_errorcode = code
    found = typed(error)
    assert type(found) is kind
    assert told in str(found)


async def test_second_process_is_refused_whatever_path_leads_there(tmp_path: Path) -> None:
    folder, link = tmp_path / "data", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    csv = tmp_path / "a.csv"
    csv.write_bytes(catalogue([("One", "http://127.0.0.1/a.jpg")]))
    database = tmp_path / "link.db"
    database.symlink_to(folder / "resizer.db")
    others = [
        (server(link), "link is in use"),
        (Process("run", csv, "--data-dir", folder, "--output", tmp_path / "out"), "data is in use"),
        (server(tmp_path / "other", RESIZER_DATABASE__PATH=str(database)), "data/resizer.db is in use"),
    ]
    async with server(folder) as first:
        await first.url()
        for second, told in others:
            async with second:
                code, _ = await second.ended()
            assert code == 2
            assert told in "\n".join(second.log)
