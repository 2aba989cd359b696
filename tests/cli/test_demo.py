import asyncio
import csv
import io
import signal
from pathlib import Path

import aiohttp
import pytest

import kin
import photos
from process import Process, get_json

pytestmark = pytest.mark.early(2)


async def test_demo_shows_all_of_it_and_ends(tmp_path: Path) -> None:
    async with Process("demo", "--once", variables={"TMPDIR": str(tmp_path)}) as process:
        code, output = await process.ended()
    assert code == 0, process.log
    assert "ceramics.csv: 6 products, 10 images" in output
    assert "10 of 10 images compressed, 0 failed" in output
    assert "webhook received, signature good: request.completed" in output
    left = await asyncio.to_thread(lambda: [*tmp_path.glob("resizer-demo*")])
    assert left == []


async def test_demo_leaves_the_page_open_until_it_is_interrupted(tmp_path: Path) -> None:
    """In a folder of the user's, with a configuration that would refuse all of it."""
    variables = {
        "RESIZER_SERVER__API_TOKENS": "sesame",
        "RESIZER_SERVER__HOST": "192.0.2.1",
        "RESIZER_SERVER__PORT": "0",
        "RESIZER_FETCH__ALLOW_NETWORKS": "",
        "RESIZER_ENGINE__KIND": "celery",
    }
    async with (
        Process("demo", "--data-dir", tmp_path, variables=variables) as process,
        aiohttp.ClientSession() as session,
    ):
        page = (await process.printed(r"stays open: (\S+)"))[1]
        url, _, request_id = page.partition("/#/requests/")
        standing = await get_json(session, f"{url}/status/{request_id}")
        assert (standing["status"], standing["webhook"]["status"]) == ("completed", "delivered")
        async with session.get(f"{url}/result/{request_id}") as response:
            rows = list(csv.reader(io.StringIO(await response.text(), newline="")))
        async with session.get(rows[1][3].split(",")[0]) as response:
            assert photos.opened(await response.read()).format == "JPEG"
        process.signal(signal.SIGINT)
        code, _ = await process.ended()
    assert code == 0, process.log
    kept = (tmp_path / "ceramics-result.csv").read_text(encoding="utf-8")
    assert list(csv.reader(kept.splitlines())) == rows


async def test_demo_that_is_interrupted_at_once_leaves_nothing(tmp_path: Path) -> None:
    async with Process("demo", variables={"TMPDIR": str(tmp_path)}) as process:
        # the compressing processes start before the first image is fetched
        while not kin.descendants(process.process.pid):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.01)
        process.signal(signal.SIGINT)
        code, output = await process.ended()
    assert code == 130, process.log
    assert "stopping" in output
    assert "Traceback" not in "\n".join(process.log)
    assert await asyncio.to_thread(lambda: [*tmp_path.glob("resizer-demo*")]) == []
