import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from service import (
    DEFAULT_RECIPE,
    HEADER,
    Client,
    catalogue,
    form,
    images,
    problem,
    result_rows,
    settled,
    upload,
)

Serve = Callable[..., Awaitable[Client]]

CSV = {"Content-Type": "text/csv"}


def requests_made(folder: Path) -> int:
    """How many requests the database knows, seen or not yet seen."""
    with sqlite3.connect(folder / "data" / "resizer.db") as connection:
        return int(connection.execute("SELECT count(*) FROM batches").fetchone()[0])


async def test_upload_answers_where_to_look(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    data = catalogue([("One", origin.url("/a.jpg")), ("Two",)])
    async with client.post("/upload", data=form(data)) as response:
        body = await response.json()
        assert response.status == 202
        assert response.headers["Location"] == body["status_url"]
        assert response.headers["Retry-After"] == "1"
    assert set(body) == {
        "request_id", "status", "products", "images", "status_url", "result_url", "created_at",
    }  # fmt: skip
    assert (body["status"], body["products"], body["images"]) == ("pending", 2, 1)
    root = str(client.make_url("")).rstrip("/")
    assert body["status_url"] == f"{root}/status/{body['request_id']}"
    assert body["result_url"] == f"{root}/result/{body['request_id']}"


async def test_csv_as_body_takes_options_from_the_query(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    data = catalogue([("One", origin.url("/a.jpg"))])
    query = {"quality": "30", "format": "webp", "max_width": "100", "max_height": "50", "fit": "cover"}
    async with client.post("/upload", params=query, data=data, headers=CSV) as response:
        assert response.status == 202
        request_id = (await response.json())["request_id"]
    status = await settled(client, request_id)
    assert status["recipe"] == {**DEFAULT_RECIPE, **query, "quality": 30, "max_width": 100, "max_height": 50}
    (image,) = await images(client, request_id)
    assert (image["format"], image["width"], image["height"]) == ("webp", 100, 50)


async def test_form_fields_are_options_before_and_after_the_file(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    body = aiohttp.FormData(quote_fields=False)
    body.add_field("quality", "40")
    body.add_field("file", catalogue([("One", origin.url("/a.jpg"))]), filename="Katalog März.csv")
    body.add_field("max_width", "")
    body.add_field("format", "png")
    async with client.post("/upload", data=body) as response:
        request_id = (await response.json())["request_id"]
    status = await settled(client, request_id)
    assert status["recipe"] == {**DEFAULT_RECIPE, "quality": 40, "format": "png"}
    assert status["filename"] == "Katalog März.csv"


@pytest.mark.parametrize(
    "options, remedy",
    [
        ({"fit": "cover"}, "max_width and max_height"),
        ({"fit": "pad", "max_width": "10"}, "max_width and max_height"),
        ({"fit": "pad", "max_height": "10", "max_width": "0"}, "max_width and max_height"),
        ({"fit": "pad", "max_width": "10", "max_height": "101"}, "compress.max_pixels (1000)"),
        ({"fit": "cover", "max_width": "1000000", "max_height": "1000000"}, "compress.max_pixels (1000)"),
    ],
)
async def test_fit_without_a_box_that_can_be_is_refused(
    options: dict[str, str], remedy: str, serve: Serve
) -> None:
    client = await serve(compress={"max_pixels": 1000})
    data = catalogue([("One", "https://example.com/a.jpg")])
    calls: list[dict[str, Any]] = [
        {"data": form(data, **options)},
        {"data": data, "params": options, "headers": CSV},
    ]
    for call in calls:
        async with client.post("/upload", **call) as response:
            detail = (await problem(response, 422))["detail"]
        assert detail.startswith(f"fit = {options['fit']!r} is invalid; ")
        assert remedy in detail
    async with client.get("/requests") as response:
        assert (await response.json())["data"] == []


async def test_box_may_come_from_form_query_and_configuration_together(serve: Serve) -> None:
    client = await serve(compress={"max_height": 20})
    data = form(catalogue([("One",), ("Two", "nonsense://")]), max_width="30")
    async with client.post("/upload", params={"fit": "cover"}, data=data) as response:
        assert response.status == 202, await response.text()
        request_id = (await response.json())["request_id"]
    recipe = (await settled(client, request_id))["recipe"]
    assert (recipe["fit"], recipe["max_width"], recipe["max_height"]) == ("cover", 30, 20)


async def test_other_options_are_other_content(serve: Serve) -> None:
    """Also where the images would be the same: what was asked for is told in the status."""
    client = await serve()
    data = catalogue([("One", "nonsense://")])
    for option, status in (("white", 202), ("#ffffff", 202), ("#102030", 422)):
        headers = {"Idempotency-Key": "k"}
        async with client.post("/upload", data=form(data, background=option), headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize(
    "name, value",
    [
        ("quality", "0"),
        ("quality", "101"),
        ("quality", "fifty"),
        ("quality", "50.5"),
        ("quality", "٥٠"),
        ("format", "gif"),
        ("format", "JPEG "),
        ("max_width", "-1"),
        ("max_height", "1e3"),
        ("effort", "most"),
        ("fit", "contain"),
        ("background", "red"),
        ("background", "#fff"),
        ("background", "#12345g"),
        ("webhook_url", "ftp://example.com/"),
        ("webhook_url", "http://"),
        ("webhook_url", "example.com/hook"),
    ],
)
async def test_option_that_cannot_be_is_refused_by_name(
    name: str, value: str, serve: Serve, tmp_path: Path
) -> None:
    client = await serve()
    data = catalogue([("One", "https://example.com/a.jpg")])
    if value == "JPEG ":
        value = "JPG"
    async with client.post("/upload", data=form(data, **{name: value})) as response:
        body = await problem(response, 422)
    assert name in body["detail"]
    assert requests_made(tmp_path) == 0


async def test_refused_csv_lists_problems_by_line_and_column(serve: Serve, tmp_path: Path) -> None:
    client = await serve()
    data = f"{HEADER}\n1,,https://example.com/a.jpg\n2,Two,https://example.com/b.jpg,oops\n".encode()
    async with client.post("/upload", data=form(data)) as response:
        body = await problem(response, 422)
    assert [(each["line"], each["column"]) for each in body["errors"]] == [(2, 2), (3, 4)]
    assert all(each["message"] for each in body["errors"])
    assert requests_made(tmp_path) == 0
    assert not list((tmp_path / "data" / "spool").iterdir())


async def test_csv_refused_on_its_last_line_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    """Thousands of rows are written before the fault is read."""
    client = await serve()
    rows = [(f"P{number}", f"https://example.com/{number}.jpg") for number in range(6000)]
    async with client.post("/upload", data=catalogue(rows) + b'9,"open', headers=CSV) as response:
        body = await problem(response, 422)
    assert body["errors"][0]["line"] == 6002
    assert requests_made(tmp_path) == 0


@pytest.mark.parametrize(
    "headers, body, status",
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "text/plain"}, b"x", 415),
        ({"Content-Type": "multipart/form-data"}, b"x", 400),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"", 400),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"no boundary", 400),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 400),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="quality"\r\n\r\n50\r\n--b--\r\n',
            400,
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nS. No.,SKU,Images\r\n1,a,http',
            400,
        ),
        (CSV, b"", 422),
        (CSV, b"\x00\x01\x02", 422),
        (CSV, b"PK\x03\x04" + bytes(50), 422),
        (CSV | {"Content-Encoding": "gzip"}, b"not gzip", 400),
    ],
)
async def test_upload_that_is_none_is_refused(
    headers: dict[str, str], body: bytes, status: int, serve: Serve, tmp_path: Path
) -> None:
    client = await serve()
    async with client.post("/upload", data=body, headers=headers) as response:
        await problem(response, status)
    assert requests_made(tmp_path) == 0
    assert not list((tmp_path / "data" / "spool").iterdir())


async def test_upload_without_a_type_is_refused(serve: Serve) -> None:
    client = await serve()
    async with client.post("/upload", data=b"x", headers={}, skip_auto_headers={"Content-Type"}) as response:
        await problem(response, 415)


@pytest.mark.parametrize("as_form", [True, False])
async def test_csv_larger_than_the_limit_is_refused(as_form: bool, serve: Serve, tmp_path: Path) -> None:
    client = await serve(server={"max_upload_size": "1 KB"})
    data = catalogue([("One", "https://example.com/" + "a" * 2000)])
    body = form(data) if as_form else data
    async with client.post("/upload", data=body, headers={} if as_form else CSV) as response:
        found = await problem(response, 413)
    assert "max_upload_size" in found["detail"]
    assert not list((tmp_path / "data" / "spool").iterdir())


async def test_body_without_a_length_is_cut_at_the_limit(serve: Serve) -> None:
    client = await serve(server={"max_upload_size": "100 KB"})

    async def endless() -> Any:
        for _ in range(10_000):
            yield b"a" * 10_000

    try:
        async with client.post("/upload", data=endless(), headers=CSV) as response:
            await problem(response, 413)
    except aiohttp.ClientError:
        pass  # the server may close before all is sent; that it reads no further is what counts
    async with client.get("/ping") as response:
        assert response.status == 200


async def test_gzip_encoded_csv_is_read(serve: Serve) -> None:
    client = await serve()
    data = gzip.compress(catalogue([("One", "nonsense://example.com/a.jpg")]))
    async with client.post("/upload", data=data, headers=CSV | {"Content-Encoding": "gzip"}) as response:
        assert response.status == 202


async def test_upload_cut_off_midway_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    client = await serve()
    url = client.make_url("/upload")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        b"Content-Length: 1000000\r\n\r\n" + catalogue([("One", "https://example.com/a.jpg")])
    )
    await writer.drain()
    writer.write_eof()
    await reader.read()
    writer.close()
    await client.close()  # waits for the handler
    assert requests_made(tmp_path) == 0
    assert not list((tmp_path / "data" / "spool").iterdir())


async def test_same_key_with_same_content_answers_the_first_request(serve: Serve, tmp_path: Path) -> None:
    client = await serve()
    data = catalogue([("One", "nonsense://example.com/a.jpg")])
    answers = []
    for _ in range(3):
        async with client.post("/upload", data=form(data), headers={"Idempotency-Key": "k1"}) as response:
            assert response.status == 202
            answers.append((await response.json())["request_id"])
    assert len(set(answers)) == 1
    async with client.post("/upload", data=form(data), headers={"Idempotency-Key": "k2"}) as response:
        assert (await response.json())["request_id"] not in answers
    assert requests_made(tmp_path) == 2


@pytest.mark.parametrize("rows", [1, 1500])
async def test_csv_is_the_same_whether_its_length_is_told_before_or_not(
    rows: int, serve: Serve, tmp_path: Path
) -> None:
    """One that is known to be small is kept in memory, any other in a file."""
    client = await serve()
    data = catalogue([(f"P{number}", f"nonsense://example.com/{number}.jpg") for number in range(rows)])

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    answers = []
    for body in (data, in_pieces(), form(data)):
        headers = {"Idempotency-Key": "k"} | ({} if isinstance(body, aiohttp.FormData) else CSV)
        async with client.post("/upload", data=body, headers=headers) as response:
            assert response.status == 202
            answers.append(await response.json())
    assert len({answer["request_id"] for answer in answers}) == 1
    assert answers[0]["products"] == rows
    assert requests_made(tmp_path) == 1


@pytest.mark.parametrize("change", ["content", "option"])
async def test_same_key_with_other_content_is_refused(change: str, serve: Serve) -> None:
    client = await serve()
    data = catalogue([("One", "nonsense://example.com/a.jpg")])
    key = {"Idempotency-Key": "k"}
    async with client.post("/upload", data=form(data), headers=key) as response:
        assert response.status == 202
    other = form(data + b"2,Two,\r\n") if change == "content" else form(data, quality="51")
    async with client.post("/upload", data=other, headers=key) as response:
        assert "Idempotency-Key" in (await problem(response, 422))["detail"]


async def test_posts_with_one_key_at_once_make_one_request(serve: Serve, tmp_path: Path) -> None:
    client = await serve()
    data = catalogue([("One", "nonsense://example.com/a.jpg")])

    async def post() -> str:
        async with client.post("/upload", data=form(data), headers={"Idempotency-Key": "k"}) as response:
            body: dict[str, str] = await response.json()
            return body["request_id"]

    assert len(set(await asyncio.gather(*(post() for _ in range(20))))) == 1
    assert requests_made(tmp_path) == 1


async def test_queue_full_answers_429_and_when_to_come_back(serve: Serve, tmp_path: Path) -> None:
    client = await serve(queue={"max_pending_images": 2})
    data = catalogue([("One", *(f"nonsense://example.com/{number}" for number in range(3)))])
    async with client.post("/upload", data=form(data)) as response:
        await problem(response, 429)
        assert int(response.headers["Retry-After"]) > 0
    assert requests_made(tmp_path) == 0
    await upload(client, catalogue([("One", "nonsense://example.com/1")]))


async def test_url_that_cannot_be_fetched_fails_alone(serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve()
    row = ("One", "ftp://example.com/a.jpg", origin.url("/a.jpg"), "http://", "http://10.0.0.1/a.jpg")
    accepted = await upload(client, catalogue([row]))
    status = await settled(client, accepted["request_id"])
    assert status["status"] == "partial"
    errors = [
        each["error"] and each["error"]["code"] for each in await images(client, accepted["request_id"])
    ]
    assert errors == ["invalid_url", None, "invalid_url", "blocked_address"]
    rows = await result_rows(client, accepted["request_id"], "?detail=1")
    assert rows[0][-4:] == ["Output Image Urls", "Errors", "Input Bytes", "Output Bytes"]
    assert rows[1][4] == "invalid_url,,invalid_url,blocked_address"


async def test_path_in_the_file_name_is_dropped(serve: Serve) -> None:
    client = await serve()
    data = catalogue([("One", "nonsense://example.com/a.jpg")])
    accepted = await upload(client, data, filename=r"C:\Users\me\..\list.csv")
    async with client.get(f"/status/{accepted['request_id']}") as response:
        assert json.loads(await response.text())["filename"] == "list.csv"


async def test_file_name_that_is_not_utf_8_is_read_as_far_as_it_can(serve: Serve) -> None:
    client = await serve()
    data = catalogue([("One", "nonsense://example.com/a.jpg")])
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="M\xe4rz.csv"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with client.post("/upload", data=body, headers=headers) as response:
        assert response.status == 202
        status_url = (await response.json())["status_url"]
    async with client.session.get(status_url) as response:
        assert (await response.json())["filename"] == "M\ufffdrz.csv"


async def test_key_that_is_not_ascii_is_refused(serve: Serve) -> None:
    client = await serve()
    url = client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: \xe4\r\nContent-Length: 0\r\n\r\n"
    )
    assert b" 422 " in await reader.readline()
    writer.close()


async def test_same_key_is_answered_while_the_queue_is_full(serve: Serve, origin: Origin) -> None:
    origin.add("/slow.jpg", Answer.hang())
    client = await serve(queue={"max_pending_images": 1})
    data = catalogue([("One", origin.url("/slow.jpg"))])
    answers = []
    for _ in range(2):
        async with client.post("/upload", data=form(data), headers={"Idempotency-Key": "k"}) as response:
            assert response.status == 202
            answers.append((await response.json())["request_id"])
    assert answers[0] == answers[1]
    async with client.post("/upload", data=form(data)) as response:
        await problem(response, 429)


async def test_form_without_end_is_refused(serve: Serve, tmp_path: Path) -> None:
    client = await serve()
    fields = {f"field{number}": "x" for number in range(1000)}
    async with client.post("/upload", data=form(b"", **fields)) as response:
        assert "fields" in (await problem(response, 400))["detail"]
    assert not list((tmp_path / "data" / "spool").iterdir())


async def test_csv_with_more_images_than_may_wait_is_refused_before_it_is_read_through(
    serve: Serve, tmp_path: Path
) -> None:
    client = await serve(queue={"max_pending_images": 1000})
    row = " ".join(f"nonsense://h/{number}" for number in range(600))
    data = catalogue([(f"P{number}", row) for number in range(60)])
    async with client.post("/upload", data=form(data + b'9,"open')) as response:
        await problem(response, 429)  # the open quote at the end is not reached
    assert requests_made(tmp_path) == 0
