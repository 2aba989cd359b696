"""The archive: what is in it, under which names, and how it ends where something is amiss."""

import asyncio
import io
import logging
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from resizer.web.api import archive as archives
from resizer.web.keys import REQUESTS, STORAGE
from service import Client, catalogue, form, images, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]


async def archive_of(client: Client, request_id: str, query: str = "") -> zipfile.ZipFile:
    async with client.get(f"/requests/{request_id}/archive{query}") as response:
        assert response.status == 200, await response.text()
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))
        assert archive.testzip() is None
        return archive


async def body_of(client: Client, path: str) -> bytes:
    async with client.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def finished(client: Client, rows: Sequence[Sequence[str]], **fields: str) -> str:
    request_id: str = (await upload(client, catalogue(rows), **fields))["request_id"]
    await settled(client, request_id)
    return request_id


async def test_archive_holds_the_result_and_each_slot_under_a_name_to_read(
    serve: Serve, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    front = origin.add("/p/front.jpg", Answer(body=photos.jpeg()))
    side = origin.add("/p/side.png", Answer(body=photos.png_with_alpha(), content_type="image/png"))
    lost = origin.url("/none.jpg")
    rows = [
        ("Blue Chair", front, lost, side, front),
        ("blue chair", front),
        ("../CON: <Stühle> \u202e", side),
        ("Only lost", lost),
    ]
    request_id = await finished(client, rows)
    archive = await archive_of(client, request_id)
    assert archive.namelist() == [
        "result.csv",
        "Blue Chair (line 2)/1-front.jpg",
        "Blue Chair (line 2)/3-side.png",
        "Blue Chair (line 2)/4-front.jpg",
        "blue chair (line 3)/1-front.jpg",
        "_CON_ _Stühle_ (line 4)/1-side.png",
    ]
    assert archive.read("result.csv") == await body_of(client, f"/result/{request_id}")
    done = [image for image in await images(client, request_id) if image["status"] == "completed"]
    for image, name in zip(done, archive.namelist()[1:], strict=True):
        path = image["output_url"].partition("/compressed/")[2]
        assert archive.read(name) == await body_of(client, f"/compressed/{path}")
    finish = datetime.fromisoformat((await settled(client, request_id))["finished_at"]).astimezone(UTC)
    for entry in archive.infolist():
        assert entry.flag_bits & 0x800
        assert entry.compress_type == (
            zipfile.ZIP_DEFLATED if entry.filename == "result.csv" else zipfile.ZIP_STORED
        )
        assert entry.date_time[:5] == finish.timetuple()[:5]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_headers_name_the_file_and_head_sends_none(serve: Serve) -> None:
    client = await serve()
    data = form(catalogue([("One", "nonsense://a")]), filename="Stühle 50%.CSV")
    async with client.post("/upload", data=data) as response:
        request_id = (await response.json())["request_id"]
    await settled(client, request_id)
    for method in ("GET", "HEAD", "HEAD"):
        async with client.request(method, f"/requests/{request_id}/archive") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/zip"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Disposition"] == (
                'attachment; filename="St_hle 50_-images.zip"; '
                "filename*=UTF-8''St%C3%BChle%2050%25-images.zip"
            )
            assert bool(await response.read()) == (method == "GET")
    for method in ("GET", "HEAD"):
        async with client.request(method, "/requests/nonsense/archive") as response:
            assert response.status == 404
    async with client.get("/requests/nonsense/archive") as response:
        await problem(response, 404)


async def test_archive_of_a_request_under_way_is_told_to_wait_unless_a_part_will_do(
    serve: Serve, origin: Origin
) -> None:
    client = await serve()
    done = origin.add("/done.jpg", Answer(body=photos.jpeg()))
    held = origin.add("/held.jpg", Answer.hang())
    request_id = (await upload(client, catalogue([("One", done, held)])))["request_id"]
    async with client.get(f"/requests/{request_id}/events") as told:
        async for line in told.content:
            if b'"completed": 1,' in line:
                break
    async with client.get(f"/requests/{request_id}/archive") as response:
        await problem(response, 409)
        assert int(response.headers["Retry-After"]) > 0
    archive = await archive_of(client, request_id, "?partial=1")
    assert archive.namelist() == ["result.csv", "One (line 2)/1-done.jpg"]
    assert archive.read("result.csv") == await body_of(client, f"/result/{request_id}?partial=1")


async def test_large_image_is_sent_in_pieces(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces are made small here, so that each image is many and one page too few for all."""
    monkeypatch.setattr(archives, "PIECE", 500)
    monkeypatch.setattr(archives, "PAGE", 4)
    client = await serve()
    rows = [
        (
            f"P{number}",
            origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number, width=80, height=60))),
        )
        for number in range(10)
    ]
    request_id = await finished(client, rows)
    archive = await archive_of(client, request_id)
    assert len(archive.namelist()) == 11
    for image, entry in zip(await images(client, request_id), archive.infolist()[1:], strict=True):
        assert image["output_bytes"] == entry.file_size > 500
        path = image["output_url"].partition("/compressed/")[2]
        assert archive.read(entry) == await body_of(client, f"/compressed/{path}")


async def test_lost_file_is_named_in_the_archive_and_in_the_log(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(archives, "MOST_LISTED", 2)
    client = await serve()
    urls = [origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number))) for number in range(2)]
    request_id = await finished(client, [("One", urls[0], urls[1], urls[1]), ("Two", urls[1])])
    name = (await images(client, request_id))[1]["output_url"].rpartition("/")[2]
    await client.app[STORAGE].delete(name)
    archive = await archive_of(client, request_id)
    assert archive.namelist() == ["result.csv", "One (line 2)/1-0.jpg", "errors.txt"]
    text = archive.read("errors.txt").decode()
    assert f"One (line 2)/2-1.jpg  {name}  {urls[1]}\r\n" in text
    assert "Two (line 3)/1-1.jpg" not in text
    assert text.endswith("and 1 more\r\n")
    assert [record.levelname for record in caplog.records if record.name == archives.__name__] == ["ERROR"]


async def test_archive_breaks_off_where_the_request_is_deleted(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end well otherwise, with what was not deleted yet."""
    client = await serve()
    request_id = await finished(client, [("One", origin.add("/a.jpg", Answer(body=photos.jpeg())))])
    batches = client.app[REQUESTS]
    whole = batches.images

    async def deleted(*arguments: object, **options: object) -> object:
        async with client.delete(f"/requests/{request_id}") as response:
            assert response.status == 204
        return await whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "images", deleted)
    async with client.get(f"/requests/{request_id}/archive") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_archive_breaks_off_where_a_file_cannot_be_read(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    request_id = await finished(client, [("One", origin.add("/a.jpg", Answer(body=photos.jpeg())))])

    def faulty(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(archives, "_read", faulty)
    async with client.get(f"/requests/{request_id}/archive") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


async def test_who_leaves_in_the_middle_is_not_worked_for(
    serve: Serve, origin: Origin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The image goes on for ever."""
    caplog.set_level(logging.DEBUG)
    client = await serve()
    request_id = await finished(client, [("One", origin.add("/a.jpg", Answer(body=photos.jpeg())))])
    ended = asyncio.Event()

    async def endless(_: object) -> object:
        try:
            while True:
                yield bytes(65_536)
        finally:
            ended.set()

    monkeypatch.setattr(archives, "PIECE", 100)
    monkeypatch.setattr(archives, "_pieces", endless)
    async with client.get(f"/requests/{request_id}/archive") as response:
        await response.content.readexactly(1_000_000)
        response.close()
    async with asyncio.timeout(30):
        await ended.wait()
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
