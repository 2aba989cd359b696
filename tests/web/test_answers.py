import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import photos
from origin import Answer, Origin
from service import DEFAULT_RECIPE, Client, catalogue, images, problem, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]

STATUS_FIELDS = {
    "request_id", "status", "done", "filename", "products", "images", "bytes", "recipe", "created_at",
    "started_at", "finished_at", "expires_at", "status_url", "result_url", "images_url", "archive_url",
    "webhook",
}  # fmt: skip
IMAGE_FIELDS = {
    "line", "serial", "product_name", "position", "input_url", "status", "output_url", "format", "width",
    "height", "input_bytes", "output_bytes", "attempts", "error",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def finished(client: Client, origin: Origin) -> str:
    """A request with one image that is compressed and one that is not there."""
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    accepted = await upload(client, catalogue([("One", origin.url("/a.jpg"), origin.url("/none.jpg"))]))
    await settled(client, accepted["request_id"])
    return str(accepted["request_id"])


async def unfinished(client: Client, origin: Origin, **fields: str) -> tuple[str, asyncio.Event]:
    """A request that goes on until the event is set."""
    gate = asyncio.Event()
    origin.add("/slow.jpg", Answer(body=photos.jpeg(), gate=gate))
    accepted = await upload(client, catalogue([("One", origin.url("/slow.jpg"))]), **fields)
    return str(accepted["request_id"]), gate


async def test_status_has_the_fields_of_the_contract(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    async with client.get(f"/status/{request_id}") as response:
        body = await response.json()
        assert "Retry-After" not in response.headers
    assert set(body) == STATUS_FIELDS
    assert body["images"] == {"total": 2, "pending": 0, "completed": 1, "failed": 1, "cancelled": 0}
    assert all(TIME.fullmatch(body[name]) for name in ("created_at", "started_at", "finished_at"))
    assert body["recipe"] == DEFAULT_RECIPE
    assert body["webhook"] is None


async def test_status_of_an_unfinished_request_says_when_to_ask_again(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id, gate = await unfinished(client, origin)
    async with client.get(f"/status/{request_id}") as response:
        body = await response.json()
        assert response.headers["Retry-After"] == "1"
    assert (body["done"], body["images"]["pending"], body["finished_at"]) == (False, 1, None)
    gate.set()
    assert (await settled(client, request_id))["status"] == "completed"


async def test_wait_is_answered_by_the_end_of_the_request(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id, gate = await unfinished(client, origin)
    waiting = asyncio.create_task(settled(client, request_id))
    async with client.get(f"/status/{request_id}", headers={"Prefer": "wait=0"}) as response:
        assert response.headers["Preference-Applied"] == "wait=0"
        assert not (await response.json())["done"]
    assert not waiting.done()
    gate.set()
    assert (await waiting)["status"] == "completed"


@pytest.mark.parametrize(
    "value, applied",
    [
        ("wait=5", "wait=5"),
        ("respond-async, wait=2", "wait=2"),
        ("wait=9999", "wait=60"),
        ('wait="3"', "wait=3"),
    ],
)
async def test_preference_that_is_applied_is_named(
    value: str, applied: str, serve: Serve, origin: Origin
) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    async with client.get(f"/status/{request_id}", headers={"Prefer": value}) as response:
        assert response.headers["Preference-Applied"] == applied


@pytest.mark.parametrize("value", ["wait=soon", "wait", "handling=lenient", ""])
async def test_preference_that_is_not_understood_is_passed_over(
    value: str, serve: Serve, origin: Origin
) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    async with client.get(f"/status/{request_id}", headers={"Prefer": value}) as response:
        assert response.status == 200
        assert "Preference-Applied" not in response.headers


async def test_unchanged_status_is_answered_304(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    async with client.get(f"/status/{request_id}") as response:
        etag = response.headers["ETag"]
    async with client.get(f"/status/{request_id}", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert await response.read() == b""
    async with client.get(f"/status/{request_id}", headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


async def test_result_waits_for_the_end_unless_part_will_do(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id, gate = await unfinished(client, origin)
    async with client.get(f"/result/{request_id}") as response:
        await problem(response, 409)
        assert response.headers["Retry-After"] == "1"
    rows = await result_rows(client, request_id, "?partial=1")
    assert [row[3] for row in rows] == ["Output Image Urls", ""]
    gate.set()
    await settled(client, request_id)
    rows = await result_rows(client, request_id)
    assert rows[1][3].startswith("http")


async def test_result_is_an_attachment_named_after_the_csv(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    data = catalogue([("One", origin.url("/a.jpg"))])
    accepted = await upload(client, data, filename="Früh;jahr.CSV")
    await settled(client, accepted["request_id"])
    async with client.get(f"/result/{accepted['request_id']}") as response:
        assert response.content_type == "text/csv"
        assert response.charset == "utf-8"
        assert response.content_disposition is not None
        assert response.content_disposition.type == "attachment"
        assert response.content_disposition.filename == "Früh;jahr-result.csv"
        data = await response.read()
    assert not data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\r\n") == data.count(b"\n") == 2


async def test_result_keeps_columns_order_and_cells(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    data = (
        "Colour;images;Output Image URLs;sku;S.No;Note\r\n"
        f'red;"{origin.url("/a.jpg")} | {origin.url("/a.jpg")}";old;B;2;"say ""hi"", \nwell"\r\n'
        f";;;A; 1 ;=1+1\r\n"
        f";;;A;;\r\n"
    ).encode("utf-16")
    accepted = await upload(client, data)
    await settled(client, accepted["request_id"])
    rows = await result_rows(client, accepted["request_id"])
    assert rows[0] == ["Colour", "images", "sku", "S.No", "Note", "Output Image Urls"]
    first, second = rows[1][5].split(",")
    assert first == second
    assert rows[1][:5] == [
        "red", f"{origin.url('/a.jpg')} | {origin.url('/a.jpg')}", "B", "2", 'say "hi", \nwell',
    ]  # fmt: skip
    assert rows[2:] == [["", "", "A", " 1 ", "=1+1", ""], ["", "", "A", "", "", ""]]


async def test_images_have_the_fields_of_the_contract(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    completed, failed = await images(client, request_id)
    assert set(completed) == set(failed) == IMAGE_FIELDS
    assert (completed["line"], completed["serial"], completed["product_name"]) == (2, "1", "One")
    assert (completed["attempts"], completed["error"], completed["format"]) == (1, None, "jpeg")
    assert set(failed["error"]) == {"code", "message", "http_status"}
    assert (failed["status"], failed["error"]["http_status"]) == ("failed", 404)


async def test_images_come_in_pages_and_by_status(serve: Serve, origin: Origin) -> None:
    client = await serve()
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    urls = [origin.url("/a.jpg") if number % 3 else f"nonsense://{number}" for number in range(10)]
    accepted = await upload(client, catalogue([("One", *urls)]))
    await settled(client, accepted["request_id"])
    seen, after = [], ""
    while True:
        async with client.get(
            f"/requests/{accepted['request_id']}/images", params={"limit": "4", "after": after}
        ) as response:
            page = await response.json()
        assert set(page) == {"data", "has_more", "next"}
        seen += [each["input_url"] for each in page["data"]]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            break
        after = page["next"]
    assert seen == urls
    failed = await images(client, accepted["request_id"], "?status=failed")
    assert [each["input_url"] for each in failed] == urls[::3]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=x", "status=odd"])
async def test_query_that_cannot_be_is_refused(query: str, serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    async with client.get(f"/requests/{request_id}/images?{query}") as response:
        assert query.partition("=")[0] in (await problem(response, 422))["detail"]


@pytest.mark.parametrize(
    "path", ["/status/{}", "/result/{}", "/requests/{}/images", "/requests/{}/deliveries"]
)
@pytest.mark.parametrize("request_id", ["nothing", "0", "%00", "..%2f..", "x" * 3000])
async def test_unknown_request_is_answered_404(path: str, request_id: str, serve: Serve) -> None:
    client = await serve()
    async with client.get(path.format(request_id)) as response:
        await problem(response, 404)


async def test_compressed_image_is_served_for_ever(serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    url = (await images(client, request_id))[0]["output_url"]
    async with client.session.get(url) as response:
        data = await response.read()
        assert response.headers["Content-Type"] == "image/jpeg"
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        etag = response.headers["ETag"]
        assert etag.startswith('"')
    async with client.session.get(url, headers={"If-None-Match": etag}) as response:
        assert response.status == 304
    async with client.session.get(url, headers={"Range": "bytes=2-9"}) as response:
        assert response.status == 206
        assert await response.read() == data[2:10]
    async with client.session.get(url, headers={"Range": "bytes=999999-"}) as response:
        assert response.status == 416
        assert "Cache-Control" not in response.headers
    async with client.session.head(url) as response:
        assert int(response.headers["Content-Length"]) == len(data)
        assert await response.read() == b""


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "%2e%2e/resizer.db", "..%2fresizer.db", "..%5cresizer.db", "%00", "a/b", "/etc/passwd",
        "0" * 32, f"{'0' * 32}.jpg", f"{'0' * 32}.JPG", f"{'0' * 32}.svg", f"{'0' * 5000}.jpg", ".lock",
    ],
)  # fmt: skip
async def test_any_other_name_is_answered_404(name: str, serve: Serve) -> None:
    client = await serve()
    url = client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET /compressed/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b" 404 " in (await reader.readline())
    writer.close()


async def test_ping(serve: Serve) -> None:
    client = await serve()
    async with client.get("/ping") as response:
        assert await response.json() == {"status": "pong"}


@pytest.mark.parametrize(
    "method, path, status", [("GET", "/nowhere", 404), ("GET", "/upload", 405), ("DELETE", "/status/x", 405)]
)
async def test_wrong_path_or_method_is_a_problem(method: str, path: str, status: int, serve: Serve) -> None:
    client = await serve()
    async with client.request(method, path) as response:
        await problem(response, status)
        assert ("Allow" in response.headers) == (status == 405)


async def test_tokens_close_every_path_but_the_open_ones(serve: Serve) -> None:
    client = await serve(server={"api_tokens": ["first-token", "second-token"]})
    for path in (
        "/status/x",
        "/result/x",
        "/requests/x/images",
        "/requests/x/deliveries",
        "/nowhere",
        "/docs",
    ):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first-token"}):
            async with client.get(path, headers=headers) as response:
                await problem(response, 401)
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
    async with client.post("/upload", data=b"x") as response:
        await problem(response, 401)
    for token in ("first-token", "second-token"):
        async with client.get("/status/x", headers={"Authorization": f"Bearer {token}"}) as response:
            await problem(response, 404)
    async with client.get("/ping") as response:
        assert response.status == 200
    async with client.get("/compressed/x") as response:
        await problem(response, 404)


async def test_public_url_stands_in_every_url(serve: Serve, origin: Origin) -> None:
    client = await serve(server={"public_url": "https://images.example.com/shop/"})
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    accepted = await upload(client, catalogue([("One", origin.url("/a.jpg"))]))
    assert accepted["status_url"].startswith("https://images.example.com/shop/status/")
    await settled(client, accepted["request_id"])
    rows = await result_rows(client, accepted["request_id"])
    assert rows[1][3].startswith("https://images.example.com/shop/compressed/")


@pytest.mark.parametrize("trusted", [True, False])
async def test_forwarded_headers_are_believed_from_trusted_proxies_alone(
    trusted: bool,
    serve: Serve,
    origin: Origin,
) -> None:
    client = await serve(server={"trusted_proxies": ["127.0.0.0/8"] if trusted else ["10.0.0.0/8"]})
    request_id = await finished(client, origin)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "images.example.com"}
    async with client.get(f"/status/{request_id}", headers=headers) as response:
        url = (await response.json())["status_url"]
    assert url.startswith("https://images.example.com/") == trusted


@pytest.mark.parametrize("host", ["evil.com/x", "a b", '"><script>', "x\\y"])
async def test_host_that_is_no_host_name_is_refused(host: str, serve: Serve, origin: Origin) -> None:
    client = await serve()
    request_id = await finished(client, origin)
    async with client.get(f"/status/{request_id}", headers={"Host": host}) as response:
        assert response.status == 400


async def test_deliveries_list_every_try(serve: Serve, origin: Origin) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/hook"
    client = await serve(webhook={"schedule": [0, 0.05]})
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    accepted = await upload(client, catalogue([("One", origin.url("/a.jpg"))]), webhook_url=url)
    status = await settled(client, accepted["request_id"])
    assert status["webhook"]["url"] == url
    delivery: dict[str, Any] = {}
    for _ in range(200):
        async with client.get(f"/requests/{accepted['request_id']}/deliveries") as response:
            (delivery,) = (await response.json())["data"]
        if delivery["status"] != "pending":
            break
        await asyncio.sleep(0.02)
    assert set(delivery) == {"webhook_id", "url", "status", "attempts", "next_attempt_at"}
    assert (delivery["status"], delivery["next_attempt_at"], len(delivery["attempts"])) == ("failed", None, 2)
    assert set(delivery["attempts"][0]) == {"at", "http_status", "error", "seconds"}
    assert delivery["attempts"][0]["error"]
    async with client.get(f"/status/{accepted['request_id']}") as response:
        assert (await response.json())["webhook"] == {"url": url, "status": "failed", "attempts": 2}
