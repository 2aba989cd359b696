"""A full disk fails images and refuses uploads; accepted work is never lost."""

import asyncio
import io
import itertools
import re
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import photos
from full_disk import Disk, Inodes, Pretended, Tmpfs, tmpfs
from origin import Answer, Origin
from process import PATIENCE, Process, server
from recovery import check_files, check_integrity, check_not_torn, expected
from service import SECRET, Client, Inbox, catalogue, form, images, problem, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]

also_inodes = pytest.mark.parametrize("disk", ["real", "pretended", "inodes"], indirect=True)

NO_SPACE = "urn:resizer:problem:no-space"


@pytest.fixture(params=["real", "pretended"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk of 12 MB; both kinds are simulated where mounting is not permitted.

    A disk without free inodes is requested by name; open files can still be written there.
    """
    if request.param == "inodes":
        with tmpfs(tmp_path / "inodes", "nr_inodes=200", Inodes) as few:
            if few is None:
                pytest.skip("no file system may be mounted here")
            yield few
        return
    with tmpfs(tmp_path / "disk", "size=12m") as real:
        if real and request.param == "real":
            yield real
        else:
            yield Pretended(tmp_path / "pretended", monkeypatch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Tmpfs]:
    with tmpfs(tmp_path / "small", "size=20m") as real:
        if real is None:
            pytest.skip("no file system may be mounted here")
        yield real


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resizer.pipeline.image.RECORD_PAUSE", (0.05, 0.2))


async def stored_elsewhere(serve: Serve, tmp_path: Path, disk: Disk, **sections: dict[str, Any]) -> Client:
    """A service with only its spool on the disk."""
    return await serve(
        folder=disk.folder / "data",
        database={"path": str(tmp_path / "resizer.db")},
        storage={"path": str(tmp_path / "compressed")},
        webhook={"secret": SECRET},
        **sections,
    )


async def readiness(client: Client) -> list[str]:
    """Return the parts that are not ready."""
    async with client.get("/readyz") as response:
        if response.status == 200:
            return []
        return list((await problem(response, 503))["failing"])


async def answers_as_ever(client: Client, request_id: str, name: str = "") -> None:
    paths = ["/ping", "/healthz", "/requests", f"/status/{request_id}", f"/result/{request_id}?partial=1"]
    for path in [*paths, f"/compressed/{name}"] if name else paths:
        async with client.get(path) as response:
            assert response.status == 200, await response.text()


async def some_are_completed(client: Client, request_id: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await images(client, request_id, "?status=completed")
            if found:
                return found
            await asyncio.sleep(0.01)


async def slots(client: Client, request_id: str) -> list[list[str]]:
    """Return the file names in the result, row for row."""
    rows = await result_rows(client, request_id)
    return [[slot.rpartition("/")[2] for slot in row[3].split(",")] for row in rows[1:]]


async def unrecorded(log: pytest.LogCaptureFixture, times: int = 1) -> None:
    """Wait until recording an outcome has failed this often."""
    async with asyncio.timeout(PATIENCE):
        while log.text.count("cannot record an outcome") < times:  # noqa: ASYNC110  no event to wait for
            await asyncio.sleep(0.01)


async def retried(client: Client, request_id: str) -> None:
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202, await response.text()


@also_inodes
async def test_images_fail_while_the_storage_is_full_and_a_retry_makes_up_for_it(
    disk: Disk, serve: Serve, origin: Origin
) -> None:
    client = await serve(storage={"path": str(disk.folder / "compressed")})
    gate = asyncio.Event()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    origin.add("/b.jpg", Answer(body=photos.jpeg(seed=2), gate=gate))
    origin.add("/c.jpg", Answer(body=photos.jpeg(seed=3), gate=gate))
    rows = [("One", origin.url("/b.jpg"), origin.url("/a.jpg")), ("Two", origin.url("/c.jpg"))]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    done = await some_are_completed(client, request_id)
    disk.fill()
    gate.set()
    status = await settled(client, request_id)
    assert status["status"] == "partial"
    assert status["images"] == {"total": 3, "pending": 0, "completed": 1, "failed": 2, "cancelled": 0}
    failed = await images(client, request_id, "?status=failed")
    assert [image["error"]["code"] for image in failed] == ["storage"] * 2
    assert all(re.search("no (space|inodes) left", image["error"]["message"]) for image in failed)
    await answers_as_ever(client, request_id, done[0]["output_url"].rpartition("/")[2])
    assert await readiness(client) == ["storage"]
    assert [row[3].count("http") for row in (await result_rows(client, request_id))[1:]] == [1, 0]

    disk.free()
    assert await readiness(client) == []
    await retried(client, request_id)
    status = await settled(client, request_id)
    assert status["status"] == "completed"
    assert status["images"] == {"total": 3, "pending": 0, "completed": 3, "failed": 0, "cancelled": 0}
    assert (origin.hits["/a.jpg"], origin.hits["/b.jpg"], origin.hits["/c.jpg"]) == (1, 2, 2)
    names = expected(origin, rows)
    assert await slots(client, request_id) == names
    files = {path.name: path.stat().st_size for path in (disk.folder / "compressed").iterdir()}
    assert files.keys() == {name for row in names for name in row}
    assert status["bytes"]["output"] == sum(files.values())


@also_inodes
async def test_images_fail_while_the_spool_is_full(
    disk: Disk, serve: Serve, origin: Origin, tmp_path: Path
) -> None:
    client = await stored_elsewhere(serve, tmp_path, disk)
    gate = asyncio.Event()
    # the second is larger than the buffer before the first write
    for path, width in (("/a.jpg", 320), ("/b.jpg", 2000)):
        origin.add(path, Answer(body=photos.jpeg(width=width, height=width), gate=gate))
    rows = [("One", origin.url("/a.jpg"), origin.url("/b.jpg"))]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    await origin.arrived("/b.jpg")
    disk.fill()
    gate.set()
    status = await settled(client, request_id)
    assert status["status"] == "failed"
    for image in await images(client, request_id):
        assert image["error"]["code"] == "storage"
        assert re.search("no (space|inodes) left", image["error"]["message"])
    await answers_as_ever(client, request_id)
    assert not list((disk.folder / "data" / "spool").iterdir())
    disk.free()
    await retried(client, request_id)
    assert (await settled(client, request_id))["status"] == "completed"


@also_inodes
@pytest.mark.parametrize("as_form", [True, False])
async def test_upload_for_which_the_spool_has_no_space_is_refused(
    as_form: bool, disk: Disk, serve: Serve, origin: Origin, tmp_path: Path
) -> None:
    client = await stored_elsewhere(serve, tmp_path, disk)
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    data = catalogue([("One", origin.url("/a.jpg"))])
    kind = {} if as_form else {"Content-Type": "text/csv"}

    async def post() -> tuple[int, dict[str, Any]]:
        async with client.post("/upload", data=form(data) if as_form else data, headers=kind) as response:
            return response.status, await response.json(content_type=None)

    disk.fill()
    status, body = await post()
    assert (status, body["type"]) == (507, NO_SPACE)
    assert "free some" in body["detail"]
    assert not list((disk.folder / "data" / "spool").iterdir())
    async with client.get("/requests") as response:
        assert (await response.json())["data"] == []
    disk.free()
    status, body = await post()
    assert status == 202
    assert (await settled(client, body["request_id"]))["status"] == "completed"


@pytest.mark.parametrize("options, status", [("size=0", 202), ("size=20m,nr_inodes=8", 507)])
async def test_small_upload_is_taken_where_its_images_find_a_place(
    options: str, status: int, serve: Serve, tmp_path: Path
) -> None:
    """A disk without a size reports no blocks; another has space, but no inode."""
    with tmpfs(tmp_path / "odd", options) as disk:
        if disk is None:
            pytest.skip("no file system may be mounted here")
        client = await stored_elsewhere(serve, tmp_path, disk)
        if status != 202:
            for number in itertools.count():
                try:
                    (disk.folder / str(number)).touch()
                except OSError:
                    break
        async with client.post("/upload", data=form(catalogue([("One", "nonsense://h/a.jpg")]))) as response:
            assert response.status == status
        await client.close()


async def test_upload_that_fills_the_spool_midway_is_refused(
    small_disk: Tmpfs, serve: Serve, tmp_path: Path
) -> None:
    client = await stored_elsewhere(serve, tmp_path, small_disk)

    async def body() -> AsyncIterator[bytes]:
        yield catalogue([])
        for number in range(150):
            yield f"{number},{'a' * 200_000},http://127.0.0.1/a.jpg\r\n".encode()

    async with client.post("/upload", data=body(), headers={"Content-Type": "text/csv"}) as response:
        assert (await problem(response, 507))["type"] == NO_SPACE
    assert not list((small_disk.folder / "data" / "spool").iterdir())
    async with client.get("/requests") as response:
        assert (await response.json())["data"] == []


async def test_outcomes_are_kept_while_the_database_is_full(
    disk: Disk, serve: Serve, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(database={"path": str(disk.folder / "resizer.db")}, webhook={"secret": SECRET})
    gate = asyncio.Event()
    rows = []
    for number in range(6):
        answer = Answer(body=photos.jpeg(seed=number), gate=gate if number else None)
        rows.append((f"P{number}", origin.add(f"/{number}.jpg", answer)))
    async with Inbox() as inbox:
        request_id = (await upload(client, catalogue(rows), webhook_url=inbox.url))["request_id"]
        done = await some_are_completed(client, request_id)
        disk.fill()
        gate.set()
        await unrecorded(caplog, 10)
        for key in (None, "key"):
            headers = {"Idempotency-Key": key} if key else {}
            async with client.post("/upload", data=form(catalogue(rows)), headers=headers) as response:
                assert (await problem(response, 507))["type"] == NO_SPACE
        async with client.post(f"/requests/{request_id}/retry") as response:
            assert response.status in {409, 507}
        await answers_as_ever(client, request_id, done[0]["output_url"].rpartition("/")[2])
        assert await readiness(client) == ["database"]
        async with client.get("/requests") as response:
            (status,) = (await response.json())["data"]
        assert (status["done"], status["images"]["pending"]) == (False, 5)
        assert not inbox.answers

        disk.free()
        assert (await settled(client, request_id))["status"] == "completed"
        assert await slots(client, request_id) == expected(origin, rows)
        assert set(origin.hits.values()) == {1}
        await inbox.events(1)
        assert await readiness(client) == []
        again = await upload(client, catalogue(rows), webhook_url=inbox.url)
        assert (await settled(client, again["request_id"]))["status"] == "completed"
        events = await inbox.events(2)
        assert [event["data"]["request_id"] for event in events] == [again["request_id"], request_id]
        assert inbox.answers == [204, 204]


async def test_upload_leaves_others_the_space_to_go_on(
    small_disk: Tmpfs, serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload is refused before the disk is full, its rows are removed, images in flight are recorded."""
    monkeypatch.setattr("resizer.database.database_file.RESERVED_PART", 2)
    monkeypatch.setattr("resizer.pipeline.importing.CHUNK", 2000)
    file = small_disk.folder / "resizer.db"
    client = await serve(database={"path": str(file)}, fetch={"timeout": 60})
    gate = asyncio.Event()
    rows = [("One", origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate)))]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    large = catalogue([(f"P{number}", f"http://127.0.0.1/{number}.jpg") for number in range(60_000)])
    for _ in range(3):
        # small pieces, as clients send
        body = io.BytesIO(large)
        async with client.post("/upload", data=body, headers={"Content-Type": "text/csv"}) as response:
            assert (await problem(response, 507))["type"] == NO_SPACE
        assert shutil.disk_usage(small_disk.folder).free > 2**20
    gate.set()
    assert (await settled(client, request_id))["status"] == "completed"
    await client.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM batches").fetchone() == (1,)


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(2, id="short"),
        pytest.param(6, id="long", marks=pytest.mark.soak),
    ],
)
async def test_all_on_one_disk_that_is_full_time_and_again(
    rounds: int, disk: Disk, serve: Serve, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    folder = disk.folder / "data"
    rows = []
    for number in range(50):
        answer = Answer(body=photos.jpeg(seed=number), delay=0.02) if number % 10 else Answer(status=404)
        rows.append((f"P{number}", origin.add(f"/{number}.jpg", answer)))
    names = expected(origin, rows)
    client = await serve(folder=folder, webhook={"secret": SECRET}, queue={"workers": 8})
    ends = 1
    async with Inbox() as inbox:
        request_id = (await upload(client, catalogue(rows), webhook_url=inbox.url))["request_id"]

        async def status() -> dict[str, Any]:
            async with client.get(f"/status/{request_id}") as response:
                return dict(await response.json())

        await origin.arrived("/8.jpg")
        for number in range(rounds):
            if (await status())["done"]:
                # at least one image failed
                await retried(client, request_id)
                ends += 1
            failures = caplog.text.count("cannot commit") + 10
            while caplog.text.count("cannot commit") < failures:
                disk.fill()  # failed images release their space
                body = form(catalogue(rows))
                headers = {"Idempotency-Key": str(number)}
                async with client.post("/upload", data=body, headers=headers) as response:
                    await problem(response, 507)
            disk.free()
        assert "cannot record an outcome" in caplog.text
        while (await settled(client, request_id))["images"]["completed"] < 45:
            await retried(client, request_id)
            ends += 1
        assert (await status())["images"] == {
            "total": 50,
            "pending": 0,
            "completed": 45,
            "failed": 5,
            "cancelled": 0,
        }
        assert await slots(client, request_id) == names
        events = await inbox.events(ends)
        assert len({event["webhook_id"] for event in events}) == len(events) == ends
        assert inbox.answers == [204] * ends
        async with client.get("/requests") as response:
            assert len((await response.json())["data"]) == 1
    await client.close()
    check_files(folder)
    assert {path.name for path in (folder / "compressed").iterdir()} == {name for (name,) in names if name}
    check_integrity(folder)


async def test_service_that_stops_on_a_full_disk_goes_on_when_there_is_space(
    disk: Disk, serve: Serve, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    folder = disk.folder / "data"
    client = await serve(folder=folder)
    gate = asyncio.Event()
    rows = [(f"P{number}", origin.add(f"/{number}.jpg", Answer.redirect("/a.jpg"))) for number in range(3)]
    origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate))
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    await origin.arrived("/a.jpg", 2)
    disk.fill()
    gate.set()
    await unrecorded(caplog)
    async with asyncio.timeout(PATIENCE):
        await client.close()
    disk.free()
    client = await serve(folder=folder)
    assert (await settled(client, request_id))["status"] == "completed"
    await client.close()
    check_files(folder)
    check_integrity(folder)


@pytest.mark.parametrize("used_before", [False, True])
async def test_start_on_a_full_disk_says_so(used_before: bool, small_disk: Tmpfs) -> None:
    folder = small_disk.folder / "data"
    if used_before:
        async with server(folder) as process:
            await process.url()
            process.signal(signal.SIGTERM)
            assert (await process.ended())[0] == 0
    small_disk.fill()
    async with server(folder) as process:
        code, _ = await process.ended()
    text = "\n".join(process.log)
    assert code == 2, text
    assert "no space left" in text
    assert str(folder) in text
    assert "Traceback" not in text
    small_disk.free()
    async with server(folder) as process:
        await process.url()


async def test_run_on_a_full_disk_says_so_and_goes_on_when_there_is_space(
    tmp_path: Path, origin: Origin
) -> None:
    gate = asyncio.Event()
    rows = [("One", origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate)))]
    csv = tmp_path / "products.csv"
    csv.write_bytes(catalogue(rows))
    with tmpfs(tmp_path / "disk", "size=80m") as disk:
        if disk is None:
            pytest.skip("no file system may be mounted here")
        arguments = ("run", csv, "--output", disk.folder / "out")
        (disk.folder / "out").mkdir()
        disk.fill()
        async with Process(*arguments) as process:
            code, _ = await process.ended()
        text = "\n".join(process.log)
        assert code == 2
        assert "no space left" in text
        assert "free some" in text
        assert "Traceback" not in text
        disk.free()
        async with Process(*arguments) as process:
            await origin.arrived("/a.jpg")
            disk.fill()
            gate.set()
            await process.said("cannot record an outcome.*no space left")
            disk.free()
            code, _ = await process.ended()
            assert code == 1
            await process.said("line 2, image 1: storage: .*no space left")
        async with Process(*arguments) as process:
            assert (await process.ended())[0] == 0
        check_not_torn(disk.folder / "out")
        assert "compressed/" in (disk.folder / "out" / "result.csv").read_text()
