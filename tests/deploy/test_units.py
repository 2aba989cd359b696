"""The systemd units: systemd reads them, and the service can do its work within what they leave to it."""

import ctypes.util
import io
import platform
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from confined import settings_of
from PIL import Image
from programs import DEPLOY, Running, output_of, program

import photos
from cluster import READY, Redis
from origin import Answer, Origin
from process import LISTENING, environment
from resizer.cli.descriptors import descriptors_needed
from resizer.config import Settings
from service import catalogue, form

SERVER = "resizer.service"
WORKER = "resizer-worker.service"
both = pytest.mark.parametrize("name", [SERVER, WORKER])
CONFINED = Path(__file__).with_name("confined.py")
#: seconds that answers under way get when stopping
ANSWERS = 5
#: the kernel that can deny a process to run what it has written
DENIES_EXEC = (6, 3)


@both
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    analyze = program("systemd-analyze", package="systemd")
    text = (DEPLOY / name).read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=(\S+) (serve|worker)$", text, re.MULTILINE)
    assert command is not None
    installed = tmp_path / "resizer"
    installed.write_text("#!/bin/sh\n", encoding="utf-8")
    installed.chmod(0o755)
    unit = tmp_path / name
    unit.write_text(text.replace(command[1], str(installed)), encoding="utf-8")
    assert output_of(analyze, "verify", "--man=no", unit) == ""


@both
def test_systemd_finds_little_left_to_attack(name: str) -> None:
    analyze = program("systemd-analyze", package="systemd")
    # systemd's own scale: 10 is without protection, from 0 to 2 is what it calls OK
    told = output_of(analyze, "security", "--no-pager", "--offline=yes", "--threshold=20", DEPLOY / name)
    assert "OK" in told.splitlines()[-1]


@both
def test_the_unit_waits_and_allows_as_the_settings_need(name: str) -> None:
    settings = Settings()
    unit = settings_of(DEPLOY / name)
    assert float(unit["TimeoutStopSec"][0]) > settings.queue.shutdown_grace + ANSWERS
    assert int(unit["LimitNOFILE"][0]) >= descriptors_needed(settings)
    # children are left to the one that started them
    assert unit["KillMode"] == ["mixed"]


def test_both_units_forbid_the_same() -> None:
    server, worker = (settings_of(DEPLOY / name) for name in (SERVER, WORKER))
    own = {"Description", "ExecStart", "Environment", "User", "StateDirectory", "ProcSubset"}
    assert server.keys() - worker.keys() == set()
    assert {name for name in worker if server.get(name) != worker[name]} == own


@pytest.mark.parametrize("kind", ["server", "server and worker"])
async def test_images_are_compressed_within_what_the_unit_leaves(
    kind: str, origin: Origin, tmp_path: Path
) -> None:
    program("systemd-analyze", package="systemd")
    if tuple(map(int, re.findall(r"\d+", platform.release())[:2])) < DENIES_EXEC:
        pytest.skip("this kernel cannot deny it to a process: Linux 6.3")
    if ctypes.util.find_library("seccomp") is None:
        pytest.skip("no libseccomp here: apt-get install libseccomp2")
    urls = [origin.add(f"/{name}", answer) for name, answer in pictures().items()]
    folder = str(tmp_path / "data")
    variables = {"RESIZER_SERVER__PORT": "0"}
    async with AsyncExitStack() as stack:
        if kind != "server":
            broker = Redis(tmp_path / "redis")
            await broker.start()
            stack.push_async_callback(broker.kill)
            variables |= {"RESIZER_ENGINE__KIND": "celery", "RESIZER_ENGINE__BROKER_URL": broker.url}
            worker = confined(WORKER, "worker", "--data-dir", folder, **variables)
            await stack.enter_async_context(worker)
            await worker.said(READY)
        server = confined(SERVER, "serve", "--data-dir", folder, **variables)
        await stack.enter_async_context(server)
        address = (await server.said(LISTENING.pattern))[1]
        session = await stack.enter_async_context(aiohttp.ClientSession(address))
        async with session.post("/upload", data=form(catalogue([("A", *urls)]))) as response:
            assert response.status == 202, await response.text()
            request_id = (await response.json())["request_id"]
        async with session.get(f"/status/{request_id}", headers={"Prefer": "wait=60"}) as response:
            status = await response.json()
        async with session.get(f"/requests/{request_id}/images") as response:
            failed = {image["input_url"]: image["error"] for image in (await response.json())["data"]}
        assert status["images"]["completed"] == len(urls), (failed, server.log)
        async with session.get("/readyz") as response:
            assert response.status == 200, await response.text()
        async with session.get("/metrics") as response:
            assert "process_start_time_seconds" in await response.text()
        assert await server.end() == 0
        assert not [line for line in server.log if "may open" in line]
        if kind != "server":
            assert await worker.end() == 0


async def test_what_the_unit_forbids_is_forbidden(tmp_path: Path) -> None:
    """Held against the test above: it would prove nothing where nothing is in force."""
    program("systemd-analyze", package="systemd")
    tried = tmp_path / "tried.py"
    tried.write_text(
        "import mmap, os, socket\n"
        "def refused(what):\n"
        "    try:\n"
        "        what()\n"
        "    except OSError as error:\n"
        "        return error.errno\n"
        "print([refused(lambda: os.chroot('/')), refused(lambda: socket.socket(socket.AF_PACKET)),\n"
        "       refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),\n"
        "       refused(lambda: os.nice(1)), refused(lambda: socket.socket().close())])\n",
        encoding="utf-8",
    )
    told = output_of(sys.executable, CONFINED, DEPLOY / SERVER, sys.executable, tried)
    assert told == "[1, 97, 13, 1, None]\n"


def confined(unit: str, *arguments: str, **variables: str) -> Running:
    command = (sys.executable, str(CONFINED), str(DEPLOY / unit), sys.executable, "-m", "resizer", *arguments)
    env = environment(PYTHONPATH=str(DEPLOY.parent), **variables)
    # a pool of two, of which each makes its own threads
    return Running(*command, env={**env, "RESIZER_COMPRESS__PROCESSES": "2"})


def pictures() -> dict[str, Answer]:
    """One of each format, for every codec."""
    buffer = io.BytesIO()
    photos.photo().save(buffer, "AVIF", quality=90)
    tiff = io.BytesIO()
    photos.photo().save(tiff, "TIFF")
    bitmap = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(bitmap, "BMP")
    return {
        "photo.jpg": Answer(body=photos.jpeg()),
        "cmyk.jpg": Answer(body=photos.cmyk_jpeg()),
        "alpha.png": Answer(body=photos.png_with_alpha()),
        "photo.webp": Answer(body=photos.webp()),
        "moving.gif": Answer(body=photos.animated_gif()),
        "photo.avif": Answer(body=buffer.getvalue()),
        "photo.tiff": Answer(body=tiff.getvalue()),
        "flat.bmp": Answer(body=bitmap.getvalue()),
    }
