"""Events for the configuration's own webhook have no link to a host that a client chose."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from process import server
from resizer.config import load_settings
from service import LOOPBACK, SECRET, Inbox, Serve, catalogue, form

NAME = "shop.example"
CSV = catalogue([("One", "http://127.0.0.1:1/a.jpg")])


def hook(inbox: Inbox) -> dict[str, Any]:
    """The configuration's own webhook."""
    return {"url": inbox.url, "secret": SECRET}


def links_in(event: dict[str, Any]) -> set[str]:
    """What stands before the paths in an event."""
    names = ("status_url", "result_url", "images_url", "archive_url")
    return {"/".join(event["data"][name].split("/")[:3]) for name in names}


@pytest.mark.parametrize(
    "server, headers, clients",
    [
        ({"allowed_hosts": [NAME, "other.example"]}, {"Host": f"{NAME}:81"}, f"http://{NAME}:81"),
        ({"allowed_hosts": ["*"], "api_tokens": ["t"]}, {"Host": "evil.example"}, "http://evil.example"),
        ({"trusted_proxies": LOOPBACK}, {"X-Forwarded-Host": "evil.example"}, "http://evil.example"),
    ],
    ids=["several hosts", "any host", "forwarded host"],
)
async def test_operators_webhook_has_no_host_of_the_clients(
    server: dict[str, Any], headers: dict[str, str], clients: str, serve: Serve
) -> None:
    headers = {**headers, "Authorization": "Bearer t"}
    token = {"Authorization": "Bearer t"}
    async with Inbox() as own, Inbox() as operators:
        client = await serve(server=server, webhook=hook(operators))
        data = form(CSV, webhook_url=own.url)
        async with client.post("/upload", data=data, headers=headers) as response:
            assert response.status == 202
            request_id = (await response.json())["request_id"]
        (event,) = await own.events()
        assert links_in(event) == {clients}
        (event,) = await operators.events()
        assert links_in(event) == {"http://127.0.0.1:8080"}
        # sent again, and asked for under the client's host
        async with client.post(
            f"/requests/{request_id}/deliveries", headers={**headers, **token}
        ) as response:
            assert response.status == 202
        (event,) = await operators.events(2)
        assert (event["received"], links_in(event)) == (2, {"http://127.0.0.1:8080"})


async def test_client_cannot_reach_the_operators_receiver_with_its_own_webhook(serve: Serve) -> None:
    async with Inbox() as operators:
        client = await serve(server={"allowed_hosts": [NAME]}, webhook=hook(operators))
        for spelling in ("", "?x", "#x"):
            data = form(CSV, webhook_url=operators.url + spelling)
            async with client.post("/upload", data=data, headers={"Host": NAME}) as response:
                assert response.status == 202
        # the first once, as the two URLs are the same, the others by both
        events = await operators.events(5)
        assert [links_in(event) for event in events] == [{"http://127.0.0.1:8080"}] * 3


async def test_operators_webhook_has_the_public_url(serve: Serve) -> None:
    async with Inbox() as operators:
        client = await serve(
            server={"public_url": "https://images.example", "trusted_proxies": LOOPBACK},
            webhook=hook(operators),
        )
        forwarded = {"X-Forwarded-Host": "evil.example"}
        async with client.post("/upload", data=form(CSV), headers=forwarded) as response:
            assert response.status == 202
        (event,) = await operators.events()
        assert links_in(event) == {"https://images.example"}


async def test_operators_webhook_has_the_port_that_was_free(tmp_path: Path) -> None:
    async with (
        Inbox() as operators,
        server(
            tmp_path,
            RESIZER_WEBHOOK__URL=operators.url,
            RESIZER_WEBHOOK__SECRET=SECRET,
        ) as process,
        aiohttp.ClientSession(await process.url()) as session,
    ):
        async with session.post("/upload", data=form(CSV)) as response:
            assert response.status == 202
        (event,) = await operators.events()
        assert links_in(event) == {await process.url()}


@pytest.mark.parametrize(
    "server, origin",
    [
        ({"host": "127.0.0.1", "port": 81}, "http://127.0.0.1:81"),
        ({"host": "images.internal"}, "http://images.internal:8080"),
        ({"host": "2001:db8::1"}, "http://[2001:db8::1]:8080"),
        # no client says which of all addresses leads to it
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8080"),
        ({"host": "::"}, "http://[::1]:8080"),
        ({"host": "0.0.0.0", "public_url": "https://images.example/x"}, "https://images.example/x"),
    ],
)
def test_own_origin_is_made_from_the_configuration(server: dict[str, Any], origin: str) -> None:
    assert load_settings(None, {"server": server}).server.own_origin == origin
