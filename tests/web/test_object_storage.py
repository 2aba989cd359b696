"""The service with its images in an object store."""

import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import obstore
import pytest

import photos
from faulty_store import FaultyStore
from origin import Answer, Origin
from resizer.config import StorageSettings
from resizer.storage import object_store
from resizer.storage.object_store import open_store
from service import Client, catalogue, images, problem, settled, upload

Serve = Callable[..., Awaitable[Client]]
S3Settings = dict[str, str]


def names(settings: S3Settings) -> set[str]:
    """What stands in the bucket, but for what the service writes to see whether it can."""
    listed = obstore.list(open_store(StorageSettings(**settings)))
    return {found["path"] for page in listed for found in page} - {object_store.PROBE}


async def finished(client: Client, *urls: str) -> str:
    body = await upload(client, catalogue([("One", *urls)]))
    await settled(client, body["request_id"])
    return str(body["request_id"])


async def test_image_goes_to_the_store_and_out_through_the_service(
    serve: Serve, origin: Origin, s3_settings: S3Settings, tmp_path: Path
) -> None:
    client = await serve(storage=s3_settings)
    request_id = await finished(client, origin.add("/a.jpg", Answer(body=photos.jpeg())))
    (image,) = await images(client, request_id)
    name = image["output_url"].rpartition("/compressed/")[2]
    assert names(s3_settings) == {name}
    assert not (tmp_path / "data" / "compressed").exists()
    assert not [*(tmp_path / "data" / "spool").iterdir()]
    path = f"/compressed/{name}"
    async with client.get(path) as response:
        whole, headers = await response.read(), response.headers
    assert len(whole) == image["output_bytes"] == int(headers["Content-Length"])
    assert photos.opened(whole).size == (image["width"], image["height"])
    assert headers["Content-Type"] == "image/jpeg"
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    tag = headers["ETag"]

    async def asked(**fields: str) -> tuple[int, bytes, str | None]:
        sent = {name.replace("_", "-"): value for name, value in fields.items()}
        async with client.get(path, headers=sent) as response:
            assert response.headers.get("ETag", tag) == tag
            return response.status, await response.read(), response.headers.get("Content-Range")

    size = len(whole)
    assert await asked(Range="bytes=0-99") == (206, whole[:100], f"bytes 0-99/{size}")
    assert await asked(Range="bytes=100-") == (206, whole[100:], f"bytes 100-{size - 1}/{size}")
    assert await asked(Range="bytes=-7") == (206, whole[-7:], f"bytes {size - 7}-{size - 1}/{size}")
    assert await asked(Range=f"bytes=5-{10 * size}") == (206, whole[5:], f"bytes 5-{size - 1}/{size}")
    assert await asked(Range="bytes=0-9", If_Range=tag) == (206, whole[:10], f"bytes 0-9/{size}")
    assert await asked(Range="bytes=0-9", If_Range='"another"') == (200, whole, None)
    assert await asked(Range="lines=0-9") == (200, whole, None)
    status, _, of = await asked(Range=f"bytes={size}-")
    assert (status, of) == (416, f"bytes */{size}")
    assert await asked(If_None_Match=tag) == (304, b"", None)
    assert await asked(If_None_Match=f'"x", W/{tag}') == (304, b"", None)
    assert await asked(If_None_Match='"x"') == (200, whole, None)
    assert await asked(If_Modified_Since=headers["Last-Modified"]) == (304, b"", None)
    async with client.head(path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(size))
    async with client.get(f"/compressed/{'0' * 32}.jpg") as response:
        await problem(response, 404)


async def test_archive_holds_what_is_in_the_store(
    serve: Serve, origin: Origin, s3_settings: S3Settings
) -> None:
    client = await serve(storage=s3_settings)
    urls = [
        origin.add(f"/{name}", Answer(body=make()))
        for name, make in (("a.jpg", photos.jpeg), ("b.png", photos.png_with_alpha), ("c.webp", photos.webp))
    ]
    request_id = await finished(client, *urls)
    async with client.get(f"/requests/{request_id}/archive") as response:
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))
    assert archive.testzip() is None
    made = await images(client, request_id)
    sizes = sorted(info.file_size for info in archive.infolist() if info.filename != "result.csv")
    assert sizes == sorted(image["output_bytes"] for image in made)


async def test_deleted_request_takes_its_objects_with_it(
    serve: Serve, origin: Origin, s3_settings: S3Settings
) -> None:
    client = await serve(storage=s3_settings)
    shared = origin.add("/shared.jpg", Answer(body=photos.jpeg()))
    first = await finished(client, shared, origin.add("/own.jpg", Answer(body=photos.jpeg(seed=2))))
    second = await finished(client, shared)
    assert len(names(s3_settings)) == 2
    async with client.delete(f"/requests/{first}") as response:
        assert response.status == 204
    (kept,) = await images(client, second)
    assert names(s3_settings) == {kept["output_url"].rpartition("/")[2]}


async def test_known_image_is_taken_from_the_store_unless_it_is_gone(
    serve: Serve, origin: Origin, s3_settings: S3Settings
) -> None:
    client = await serve(storage=s3_settings)
    source = origin.add("/a.jpg", Answer(body=photos.jpeg(), headers={"ETag": '"1"'}))
    await finished(client, source)
    before = names(s3_settings)
    assert len(before) == 1
    await finished(client, source)
    assert origin.requests[-1].headers.get("if-none-match") == '"1"'
    obstore.delete(open_store(StorageSettings(**s3_settings)), [*before])
    await finished(client, source)
    assert "if-none-match" not in origin.requests[-1].headers
    assert names(s3_settings) == before


async def test_addresses_of_the_store_are_handed_out_where_they_are_public(
    serve: Serve, origin: Origin, s3_settings: S3Settings
) -> None:
    base = "https://images.example.com/shop"
    client = await serve(storage={**s3_settings, "public_base_url": base})
    request_id = await finished(client, origin.add("/a.jpg", Answer(body=photos.jpeg())))
    (image,) = await images(client, request_id)
    assert image["output_url"].startswith(f"{base}/")
    assert names(s3_settings) == {image["output_url"].removeprefix(f"{base}/")}


async def test_store_that_is_away_fails_images_and_is_told_until_it_is_back(
    serve: Serve, origin: Origin, s3_settings: S3Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "RETRIES", 1)
    source = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    async with FaultyStore(s3_settings["endpoint"]) as between:
        client = await serve(storage={**s3_settings, "endpoint": between.url})
        kept = await finished(client, origin.add("/kept.jpg", Answer(body=photos.jpeg(seed=1))))
        between.faults = 10_000
        request_id = await finished(client, source)
        (image,) = await images(client, request_id)
        assert image["error"]["code"] == "storage"
        assert "bucket" in image["error"]["message"]
        async with client.get("/readyz") as response:
            assert (await problem(response, 503))["failing"] == ["storage"]
        async with client.get(f"/compressed/{'0' * 32}.jpg") as response:
            assert response.headers["Retry-After"]
            await problem(response, 503)
        async with client.get(f"/requests/{kept}/archive") as response:
            await problem(response, 503)
        between.faults = 0
        async with client.get("/readyz") as response:
            assert response.status == 200
        async with client.post(f"/requests/{request_id}/retry") as response:
            assert response.status == 202
        assert (await settled(client, request_id))["status"] == "completed"
