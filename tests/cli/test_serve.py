import asyncio
import json
import signal
import socket
import sqlite3
from pathlib import Path

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from process import Process, get_json, server
from service import catalogue, form


async def posted(session: aiohttp.ClientSession, url: str, data: bytes) -> str:
    async with session.post(f"{url}/upload", data=form(data)) as response:
        assert response.status == 202
        return str((await response.json())["request_id"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_images_in_flight_end_and_begins_none(
    number: signal.Signals, tmp_path: Path, origin: Origin
) -> None:
    gate = asyncio.Event()
    for index in range(6):
        origin.add(f"/{index}.jpg", Answer(body=photos.jpeg(seed=index), gate=gate))
    rows = [(f"P{index}", origin.url(f"/{index}.jpg")) for index in range(6)]
    workers = {"RESIZER_QUEUE__WORKERS": "2"}
    async with aiohttp.ClientSession() as session:
        async with server(tmp_path, **workers) as process:
            url = await process.url()
            request_id = await posted(session, url, catalogue(rows))
            await origin.arrived("/0.jpg")
            await origin.arrived("/1.jpg")
            process.signal(number)
            await process.said("waiting for 2 images in flight")
            gate.set()
            code, _ = await process.ended()
            assert code == 0
        assert len(origin.requests) == 2
        async with server(tmp_path, **workers) as process:
            url = await process.url()
            status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["status"] == "completed"
        assert len(origin.requests) == 6  # none was fetched twice


async def test_who_waits_is_answered_when_the_server_stops(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer.hang())
    grace = {"RESIZER_QUEUE__SHUTDOWN_GRACE": "0"}
    async with aiohttp.ClientSession() as session, server(tmp_path, **grace) as process:
        url = await process.url()
        request_id = await posted(session, url, catalogue([("One", origin.url("/a.jpg"))]))
        await origin.arrived("/a.jpg")
        waiting = asyncio.create_task(get_json(session, f"{url}/status/{request_id}", Prefer="wait=60"))
        # a later request on another connection: the server has the waiting one by then
        await get_json(session, f"{url}/status/{request_id}", Prefer="wait=1")
        process.signal(signal.SIGTERM)
        assert not (await waiting)["done"]
        assert (await process.ended())[0] == 0


async def test_second_signal_stops_at_once(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer.hang())
    async with aiohttp.ClientSession() as session, server(tmp_path) as process:
        url = await process.url()
        await posted(session, url, catalogue([("One", origin.url("/a.jpg"))]))
        await origin.arrived("/a.jpg")
        process.signal(signal.SIGTERM)
        await process.said("waiting for 1 images in flight")
        process.signal(signal.SIGTERM)
        code, _ = await process.ended()
    assert code == 0


async def test_second_server_on_a_data_folder_is_refused_and_names_it(tmp_path: Path) -> None:
    async with server(tmp_path) as first:
        await first.url()
        async with server(tmp_path) as second:
            code, _ = await second.ended()
        assert code == 2
        assert any(str(tmp_path) in line and "in use" in line for line in second.log)
        first.signal(signal.SIGTERM)
        assert (await first.ended())[0] == 0


async def test_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Process("serve", "--port", str(port), "--data-dir", tmp_path) as process:
            code, _ = await process.ended()
    assert code == 2
    assert f"127.0.0.1:{port}" in "\n".join(process.log)
    assert "Traceback" not in "\n".join(process.log)


@pytest.mark.parametrize(
    "arguments, variables, told",
    [
        (["--host", "0.0.0.0"], {}, "server.api_tokens"),
        (["--port", "99999"], {}, "--port"),
        (["--host", "a..b"], {"RESIZER_SERVER__ALLOW_ANONYMOUS": "true"}, "server.host"),
        ([], {"RESIZER_FAILPOINT": "fetched:" + "9" * 5000}, "RESIZER_FAILPOINT"),
        (["--config", "nowhere.toml"], {}, "nowhere.toml"),
        ([], {"RESIZER_FETCH__TIMOUT": "1"}, "fetch.timeout"),
        ([], {"RESIZER_STORAGE__KIND": "s3"}, "storage.bucket"),
        ([], {"RESIZER_ENGINE__BROKER_URL": "amqp://127.0.0.1"}, "engine.broker_url"),
        ([], {"RESIZER_STORAGE__PATH": "/proc/nowhere"}, "storage.path"),
        (["--data-dir", "/proc/nowhere"], {}, "data_dir"),
    ],
)
async def test_bad_configuration_ends_with_2_and_the_key(
    arguments: list[str], variables: dict[str, str], told: str, tmp_path: Path
) -> None:
    given = arguments if "--data-dir" in arguments else [*arguments, "--data-dir", str(tmp_path)]
    async with Process("serve", *given, variables=variables) as process:
        code, _ = await process.ended()
    text = "\n".join(process.log)
    assert code == 2, text
    assert told in text
    assert "Traceback" not in text


async def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "resizer.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    async with server(tmp_path) as process:
        code, _ = await process.ended()
    assert code == 2
    assert any("newer version" in line for line in process.log)


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "resizer.db").write_bytes(b"this is not a database, not at all" * 100)
    async with server(tmp_path) as process:
        code, _ = await process.ended()
    assert code == 2
    assert any("cannot use the database" in line and "resizer.db" in line for line in process.log)
    assert not any("Traceback" in line for line in process.log)


async def test_second_server_on_a_database_is_refused(tmp_path: Path) -> None:
    shared = {"RESIZER_DATABASE__PATH": str(tmp_path / "shared.db")}
    async with server(tmp_path / "one", **shared) as first:
        await first.url()
        async with server(tmp_path / "two", **shared) as second:
            code, _ = await second.ended()
        assert code == 2
        assert any("shared.db is in use" in line for line in second.log)


NO_REQUESTS = (
    b"nonsense\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
)


async def test_what_is_no_request_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    async with server(tmp_path) as process:
        port = int((await process.url()).rpartition(":")[2])
        for sent in NO_REQUESTS:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert b" 400 " in head.splitlines()[0], sent
            assert b"application/problem+json" in head
            assert json.loads(body)["status"] == 400
        process.signal(signal.SIGTERM)
        assert (await process.ended())[0] == 0
    assert not any("Traceback" in line for line in process.log)
