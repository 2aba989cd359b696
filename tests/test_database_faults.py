"""A database that is locked, read-only, damaged or in use: reported at the start, and while running."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

import photos
from databases import garbage, garbage_in_the_middle
from full_disk import read_only
from origin import Answer, Origin
from process import PATIENCE, Process, server
from recovery import check_integrity
from resizer.app import DATABASE
from resizer.database import Database
from service import SECRET, Client, Inbox, catalogue, form, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]

UNAVAILABLE = "urn:resizer:problem:database-unavailable"


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
        pytest.param((not_writable, "it is read-only"), id="read-only"),
    ],
)
async def test_database_that_cannot_be_written_is_reported_and_nothing_is_lost(
    fault: tuple[Callable[[Client, Path], AbstractAsyncContextManager[None]], str],
    serve: Serve,
    origin: Origin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cannot_be_written, reason = fault
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
            assert reason in body["detail"]
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


async def test_damage_that_is_met_while_running_is_reported_without_a_traceback(
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
    assert "not ready: database: the database does not respond: it is damaged" in caplog.text
    assert "Traceback" not in caplog.text


async def test_server_on_a_damaged_database_ends_with_2_and_the_file(used: Path) -> None:
    garbage_in_the_middle(used)
    async with server(used.parent) as process:
        code, _ = await process.ended()
    text = "\n".join(process.log)
    assert code == 2
    assert f"cannot use the database {used}: it is damaged" in text
    assert "restore a backup" in text
    assert "Traceback" not in text


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
    assert "it is read-only" in text or "mounted read-only" in text or "no permission" in text
    assert "Traceback" not in text


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
        for second, reason in others:
            async with second:
                code, _ = await second.ended()
            assert code == 2
            assert reason in "\n".join(second.log)
