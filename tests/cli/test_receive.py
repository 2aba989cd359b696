import json
import signal
from pathlib import Path

import aiohttp

import photos
from origin import Answer, Origin
from process import Process, get_json, server
from service import catalogue, form


async def test_receiver_and_server_agree_on_the_secret_of_a_data_folder(
    tmp_path: Path, origin: Origin
) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    log = tmp_path / "events.jsonl"
    arguments = ("receive", "--port", "0", "--data-dir", tmp_path, "--log", log)
    async with (
        Process(*arguments) as receiver,
        server(tmp_path) as process,
        aiohttp.ClientSession() as session,
    ):
        hook, url = await receiver.url(), await process.url()
        body = form(catalogue([("One", origin.url("/a.jpg"))]), webhook_url=f"{hook}/webhook")
        async with session.post(f"{url}/upload", data=body) as response:
            request_id = (await response.json())["request_id"]
        await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        await receiver.said("request.completed|evt_")
        (event,) = (await get_json(session, f"{hook}/events"))["data"]
        assert (event["type"], event["data"]["request_id"]) == ("request.completed", request_id)
        assert await get_json(session, f"{hook}/ping") == {"status": "pong"}
        async with session.post(f"{hook}/webhook", data=b"{}") as response:
            assert response.status == 400
        receiver.signal(signal.SIGTERM)
        assert (await receiver.ended())[0] == 0
    assert json.loads(log.read_text())["webhook_id"] == event["webhook_id"]


async def test_secret_that_is_none_ends_with_2(tmp_path: Path) -> None:
    async with Process("receive", "--secret", "hush", "--data-dir", tmp_path) as process:
        code, _ = await process.ended()
    assert code == 2
    assert "webhook.secret" in "\n".join(process.log)
    assert "hush" not in "\n".join(process.log)
