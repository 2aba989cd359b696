import asyncio
import csv
import functools
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from process import Process, environment, get_json, ran, server
from service import catalogue


def write(folder: Path, data: bytes) -> Path:
    path = folder / "products.csv"
    path.write_bytes(data)
    return path


submit = functools.partial(ran, "submit")


async def test_submit_waits_and_saves_the_result(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg")), ("Two",)]))
    target = tmp_path / "out.csv"
    async with server(tmp_path / "data") as process:
        url = await process.url()
        code, output, log = await submit(source, "--server", url, "--wait", "--output", target)
    assert code == 0, log
    assert output.strip() == str(target)
    assert "1 of 1 images compressed, 0 failed" in log
    rows = list(csv.reader(target.read_text(encoding="utf-8").splitlines()))
    assert rows[1][3].startswith(f"{url}/compressed/")
    assert {path.name for path in await asyncio.to_thread(lambda: [*tmp_path.iterdir()])} == {
        "data",
        "out.csv",
        "products.csv",
    }


async def test_submit_says_what_failed_and_ends_with_1(tmp_path: Path, origin: Origin) -> None:
    source = write(tmp_path, catalogue([("One", origin.url("/gone.jpg"))]))
    async with server(tmp_path / "data") as process:
        arguments = (source, "--server", await process.url(), "--wait", "--output", tmp_path / "o.csv")
        code, _, log = await submit(*arguments)
    assert code == 1
    assert "line 2, image 1: http_status" in log


async def test_submit_without_waiting_prints_the_request(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))]))
    async with server(tmp_path / "data") as process:
        url = await process.url()
        code, request_id, _ = await submit(source, "--server", url)
        assert code == 0
        code, output, log = await submit(
            "--resume", request_id.strip(), "--server", url, "--output", tmp_path / "o.csv", "--json"
        )
        assert code == 0, log
        told = json.loads(output)
        assert (told["request_id"], told["status"]) == (request_id.strip(), "completed")
        code, output, _ = await submit(source, "--server", url, "--json")
        assert json.loads(output)["images"] == 1
    assert "Output Image Urls" in (tmp_path / "o.csv").read_text(encoding="utf-8")


async def test_submit_hands_on_the_options(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))]))
    sizes = ("--max-width", "100", "--max-height", "90", "--fit", "pad", "--background", "#F4F4F4")
    options = ("--quality", "30", "--format", "webp", "--effort", "fast", *sizes)
    async with server(tmp_path / "data") as process:
        arguments = ("--server", await process.url(), "--wait", "--json", "--output", tmp_path / "o.csv")
        code, output, log = await submit(source, *arguments, *options, "--webhook-url", origin.url("/hook"))
    assert code == 0, log
    told = json.loads(output)
    assert told["recipe"] == {
        "quality": 30,
        "format": "webp",
        "effort": "fast",
        "max_width": 100,
        "max_height": 90,
        "fit": "pad",
        "background": "#f4f4f4",
    }
    assert told["webhook"]["url"] == origin.url("/hook")


async def test_submit_sends_the_token_of_the_environment(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))]))
    variables = environment(RESIZER_SERVER__API_TOKENS="sesame")
    async with server(tmp_path / "data", **variables) as process:
        url = await process.url()
        code, _, log = await submit(source, "--server", url)
        assert code == 2
        assert "token" in log
        assert (await submit(source, "--server", url, RESIZER_TOKEN="sesame"))[0] == 0
        assert (await submit(source, "--server", url, "--token", "sesame"))[0] == 0


async def test_refused_csv_ends_with_2_and_its_places(tmp_path: Path) -> None:
    source = write(tmp_path, b"S. No.,Product Name,Input Image Urls\n1,,http://h/a.jpg\n")
    async with server(tmp_path / "data") as process:
        url = await process.url()
        code, output, log = await submit(source, "--server", url)
        assert (code, output) == (2, "")
        assert f"{source}:2:2: " in log
        code, _, log = await submit(source, "--server", url, "--quality", "500")
        assert code == 2
        assert "quality" in log


@pytest.mark.parametrize(
    "arguments, told",
    [
        ((), "name a CSV"),
        (("missing.csv",), "no file missing.csv"),
        (("{csv}", "--resume", "abc"), "name a CSV"),
        (("{csv}", "--output", "o.csv"), "--wait"),
        (("--resume", "abc", "--quality", "4"), "--quality"),
        (("{csv}", "--server", "localhost:8080"), "http://HOST:PORT"),
        (("{csv}", "--server", "http://user:word@host"), "RESIZER_TOKEN"),
        (("{csv}", "--server", "http://a..b"), "http://HOST:PORT"),
        (("--resume", "", "--wait"), "--resume is empty"),
        (("{csv}", "--wait", "--output", "/nowhere/o.csv"), "/nowhere cannot be used"),
        (("{csv}", "--wait", "--output", "/dev/null"), "not a file that could be replaced"),
        (("{csv}", "--token", "two words"), "RESIZER_TOKEN"),
    ],
)
async def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    code, _, log = await submit(*(argument.format(csv=source) for argument in arguments))
    assert code == 2
    assert told in log
    assert "word" not in log


async def test_server_that_is_not_there_ends_with_3(tmp_path: Path, unused_tcp_port: int) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    code, _, log = await submit(source, "--server", f"http://127.0.0.1:{unused_tcp_port}")
    assert code == 3
    assert f"http://127.0.0.1:{unused_tcp_port}" in log
    assert "Connection refused" in log


async def test_server_that_is_no_resizer_is_told(tmp_path: Path, origin: Origin) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    code, _, log = await submit(source, "--server", origin.url(""))
    assert code == 2
    assert "is no resizer" in log or "a resizer?" in log


@pytest.mark.parametrize("body", [b"{}", b'{"request_id": "a", "products": 1}', b"[]"])
async def test_server_that_speaks_json_but_is_no_resizer_is_told(
    body: bytes, tmp_path: Path, origin: Origin
) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    origin.add("/upload", Answer(body=body))
    code, _, log = await submit(source, "--server", origin.url(""))
    assert code == 3
    assert "resizer's" in log or "as a resizer does" in log


async def test_what_a_server_says_steers_no_terminal(tmp_path: Path, origin: Origin) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    origin.add("/upload", Answer(status=422, body=json.dumps({"detail": "\x1b[2Jgone"}).encode()))
    code, _, log = await submit(source, "--server", origin.url(""))
    assert code == 2
    assert "\\x1b[2Jgone" in log


async def test_server_without_tls_is_told(tmp_path: Path) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    async with server(tmp_path / "data") as process:
        code, _, log = await submit(source, "--server", (await process.url()).replace("http:", "https:"))
    assert code == 3
    assert "is its address one of http://?" in log


async def test_name_that_no_header_can_hold_is_sent_without_it(tmp_path: Path) -> None:
    source = write(tmp_path, catalogue([("One", "ftp://nowhere/a.jpg")]))
    odd = await asyncio.to_thread(source.rename, tmp_path / "two\nlines.csv")
    async with server(tmp_path / "data") as process, aiohttp.ClientSession() as session:
        url = await process.url()
        code, request_id, log = await submit(odd, "--server", url)
        assert code == 0, log
        assert (await get_json(session, f"{url}/status/{request_id.strip()}"))["filename"] == "two_lines.csv"


async def test_reader_that_has_ended_is_no_failure(tmp_path: Path) -> None:
    source = write(tmp_path, catalogue([("One", "ftp://nowhere/a.jpg")]))
    async with server(tmp_path / "data") as process:
        command = (sys.executable, "-m", "resizer", "submit", source, "--server", await process.url())
        reading, writing = os.pipe()
        os.close(reading)
        client = await asyncio.create_subprocess_exec(
            *command, env=environment(), stdout=writing, stderr=asyncio.subprocess.PIPE
        )
        os.close(writing)
        _, log = await client.communicate()
    assert client.returncode == 0, log
    assert b"Broken pipe" not in log


async def test_configuration_tells_where_the_server_is(tmp_path: Path, unused_tcp_port: int) -> None:
    source = write(tmp_path, catalogue([("One", "http://h/a.jpg")]))
    port = str(unused_tcp_port)
    code, _, log = await submit(source, RESIZER_SERVER__HOST="0.0.0.0", RESIZER_SERVER__PORT=port)
    assert code == 3
    assert f"http://127.0.0.1:{port}" in log


async def test_waiting_outlasts_a_restart_of_the_server(
    tmp_path: Path, origin: Origin, unused_tcp_port: int
) -> None:
    gate = asyncio.Event()
    origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate))
    source, target = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))])), tmp_path / "o.csv"
    port, data = str(unused_tcp_port), tmp_path / "data"
    serving = ("serve", "--port", port, "--data-dir", data)
    address = ("--server", f"http://127.0.0.1:{port}", "--wait", "--output", target)
    async with Process(*serving) as first:
        await first.url()
        async with Process("submit", source, *address) as client:
            await origin.arrived("/a.jpg")
            await client.said(r"request \w+")
            first.signal(signal.SIGKILL)
            await first.ended()
            await client.said("trying again")
            gate.set()
            async with Process(*serving) as second:
                await second.url()
                code, _ = await client.ended()
    assert code == 0, client.log
    assert "/compressed/" in target.read_text(encoding="utf-8")


async def test_giving_up_says_how_to_go_on(tmp_path: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate))
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))]))
    async with server(tmp_path / "data") as process:
        url = await process.url()
        arguments = (source, "--server", url, "--wait", "--patience", "0.5")
        async with Process("submit", *arguments) as client:
            request_id = (await client.said(r"request ([\w-]+)"))[1]
            process.signal(signal.SIGKILL)
            await process.ended()
            code, _ = await client.ended()
    gate.set()
    assert code == 3
    assert f"--resume {request_id} --server {url}" in "\n".join(client.log)


async def test_interruption_ends_with_130_and_says_how_to_go_on(tmp_path: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate))
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))]))
    async with (
        server(tmp_path / "data") as process,
        Process(
            "submit",
            source,
            "--server",
            url := await process.url(),
            "--output",
            tmp_path / "out.csv",
            "--wait",
        ) as client,
    ):
        request_id = (await client.said(r"request ([\w-]+)"))[1]
        await origin.arrived("/a.jpg")
        client.signal(signal.SIGINT)
        code, _ = await client.ended()
        gate.set()
    assert code == 130, "\n".join(client.log)
    again = f"resizer submit --resume {request_id} --server {url} --output {tmp_path / 'out.csv'}"
    assert again in "\n".join(client.log)
