"""The bundled receiver, over real connections."""

import asyncio
import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, AppRunner, Request
from pytest_aiohttp.plugin import AiohttpClient

from resizer.errors import ConfigError
from resizer.support.cross_site import AllowedHosts
from resizer.webhooks.receiver import KEPT, MAX_BODY, create_receiver
from resizer.webhooks.signing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Client = TestClient[Request, Application]


def event(number: int = 1) -> str:
    return json.dumps(
        {"type": "request.completed", "timestamp": "2026-01-31T12:00:00Z", "data": {"number": number}}
    )


async def post(client: Client, webhook_id: str, body: str, *, age: int = 0) -> int:
    headers = sign(SECRET, webhook_id, int(time.time()) - age, body)
    async with client.post("/webhook", data=io.BytesIO(body.encode()), headers=headers) as response:
        return response.status


async def listed(client: Client) -> list[dict[str, Any]]:
    async with client.get("/events") as response:
        assert response.status == 200
        data: list[dict[str, Any]] = (await response.json())["data"]
        return data


async def test_receiver_lists_what_it_received_newest_first(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))
    before = datetime.now(UTC).replace(microsecond=0)

    assert await post(client, "msg_1", event(1)) == 204
    assert await post(client, "msg_2", event(2)) == 204

    newest, oldest = await listed(client)
    assert (newest["webhook_id"], oldest["webhook_id"]) == ("msg_2", "msg_1")
    received_at = newest.pop("received_at")
    assert received_at.endswith("Z")
    assert before <= datetime.fromisoformat(received_at) <= datetime.now(UTC)
    assert newest == {
        "webhook_id": "msg_2",
        "type": "request.completed",
        "timestamp": "2026-01-31T12:00:00Z",
        "received": 1,
        "data": {"number": 2},
    }


async def test_repeated_id_is_answered_and_counted_once(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    client = await aiohttp_client(create_receiver(SECRET, tmp_path / "events.jsonl"))

    answers = await asyncio.gather(*(post(client, "msg_1", event()) for _ in range(5)))

    assert answers == [204] * 5
    (only,) = await listed(client)
    assert only["received"] == 5
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "age, changed, detail",
    [
        (None, {}, "webhook-id is missing"),
        (0, {"webhook-signature": "v1,AAAA"}, "does not match"),
        (0, {"webhook-signature": "nonsense"}, "malformed"),
        (400, {}, "older than 5 minutes"),
        (-900, {}, "ahead"),
    ],
)
async def test_wrong_signature_is_refused_as_a_problem(
    age: int | None, changed: dict[str, str], detail: str, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(create_receiver(SECRET))
    # signed here: the cases are evaluated long before
    signed = {} if age is None else sign(SECRET, "msg_1", int(time.time()) - age, event())
    headers = {**signed, **changed}

    async with client.post("/webhook", data=event().encode(), headers=headers) as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"
        problem = await response.json()

    assert detail in problem["detail"]
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    assert await listed(client) == []


async def test_signed_text_that_is_no_json_is_refused(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))

    assert await post(client, "msg_1", "hello") == 400


async def test_body_of_one_mebibyte_is_taken_and_a_byte_more_refused(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))
    filling = "x" * (MAX_BODY - len('{"data": ""}'))
    body = f'{{"data": "{filling}"}}'

    assert await post(client, "msg_1", body) == 204
    assert await post(client, "msg_2", f"{body} ") == 413


@pytest.mark.parametrize(
    "method, path, status",
    [("GET", "/", 404), ("POST", "/events", 405), ("GET", "/webhook", 405), ("PUT", "/x", 404)],
)
async def test_what_does_not_exist_is_answered_in_json(
    method: str, path: str, status: int, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(create_receiver(SECRET))

    async with client.request(method, path) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert (await response.json())["status"] == status
        assert ("Allow" in response.headers) == (status == 405)


async def test_body_in_a_broken_encoding_is_refused_as_a_problem(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))

    async with client.post("/webhook", data=b"no gzip", headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 400


async def test_ping_answers_pong(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))

    async with client.get("/ping") as response:
        assert (response.status, await response.json()) == (200, {"status": "pong"})


async def test_only_the_last_thousand_are_listed(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))
    for number in range(KEPT + 2):
        await post(client, f"msg_{number}", event(number))

    numbers = [item["data"]["number"] for item in await listed(client)]

    assert numbers == list(range(KEPT + 1, 1, -1))


async def test_log_keeps_ids_counted_once_over_a_restart(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    first = await aiohttp_client(create_receiver(SECRET, log))
    await post(first, "msg_1", event(1))
    await post(first, "msg_2", event(2))
    await first.close()

    second = await aiohttp_client(create_receiver(SECRET, log))
    assert await post(second, "msg_1", event(1)) == 204

    assert [(item["webhook_id"], item["received"]) for item in await listed(second)] == [
        ("msg_2", 1),
        ("msg_1", 2),
    ]
    assert [json.loads(line)["webhook_id"] for line in log.read_text().splitlines()] == ["msg_1", "msg_2"]


async def test_torn_line_in_the_log_costs_that_line_only(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    client = await aiohttp_client(create_receiver(SECRET, log))
    await post(client, "msg_1", event())
    await client.close()
    with log.open("ab") as file:
        file.write(b'[1]\n{"a": 1}\n\xff\n{"webhook_id": "msg_')

    client = await aiohttp_client(create_receiver(SECRET, log))
    await post(client, "msg_2", event())
    await client.close()
    client = await aiohttp_client(create_receiver(SECRET, log))

    assert [item["webhook_id"] for item in await listed(client)] == ["msg_2", "msg_1"]


async def test_event_that_cannot_be_logged_is_not_counted(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    """The sender gets 500 and retries."""
    log = tmp_path / "events.jsonl"
    client = await aiohttp_client(create_receiver(SECRET, log))
    log.unlink()
    log.mkdir()

    assert await post(client, "msg_1", event()) == 500
    assert await listed(client) == []

    log.rmdir()
    assert await post(client, "msg_1", event()) == 204
    assert len(await listed(client)) == 1


async def test_log_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    runner = AppRunner(create_receiver(SECRET, tmp_path / "missing" / "events.jsonl"))

    with pytest.raises(ConfigError, match=r"--log: .*events\.jsonl cannot be used: No such file"):
        await runner.setup()
    await runner.cleanup()


@pytest.mark.parametrize("secret", ["", "whsec_", "secret", "whsec_é"])
def test_receiver_refuses_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ConfigError, match="--secret"):
        create_receiver(secret)


@pytest.mark.parametrize("path", ["/events", "/ping", "/nowhere"])
async def test_events_are_shown_under_the_receivers_own_hosts_alone(
    path: str, aiohttp_client: AiohttpClient
) -> None:
    hosts = AllowedHosts("127.0.0.1", ["hooks.example"])
    client = await aiohttp_client(create_receiver(SECRET, hosts=hosts))
    for host in ("localhost:1", "hooks.example", "127.0.0.1"):
        async with client.get(path, headers={"Host": host}) as response:
            assert response.status in {200, 404}
            assert response.headers["Server"] == "resizer"
    for host, status in (("evil.example:8081", 421), ("[::1]", 421), ("a b", 400)):
        async with client.get(path, headers={"Host": host}) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"
            assert response.headers["Server"] == "resizer"


async def test_sender_may_use_any_host_but_is_no_page(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(create_receiver(SECRET))
    for fields, status in (
        ({"Host": "receiver.internal"}, 204),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ):
        headers = {**sign(SECRET, "msg_1", int(time.time()), event()), **fields}
        async with client.post("/webhook", data=event().encode(), headers=headers) as response:
            assert response.status == status, fields
