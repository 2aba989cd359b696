"""`GET /compressed/{filename}` behaves as in docs/api.md, tested by HTTP."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from acceptance import Stage, stage

import photos
from origin import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOR_EVER = "public, max-age=31536000, immutable"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("data")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(service: Stage) -> str:
    request_id = await service.finished([("One", service.picture())])
    return str((await service.images(request_id))[0]["output_url"])


@pytest.mark.parametrize(
    "make, options, content_type",
    [
        (photos.jpeg, {}, "image/jpeg"),
        (photos.png_with_alpha, {}, "image/png"),
        (photos.webp, {}, "image/webp"),
        (photos.animated_gif, {}, "image/gif"),
        (photos.jpeg, {"format": "avif", "max_width": "64"}, "image/avif"),
    ],
)
async def test_image_says_what_it_is_and_may_be_kept_for_ever(
    make: Callable[[], bytes], options: dict[str, str], content_type: str, service: Stage
) -> None:
    # what the host calls it counts for nothing
    source = service.origin.add(f"/{make.__name__}", Answer(body=make(), content_type="text/html"))
    request_id = await service.finished([("One", source)], **options)
    (image,) = await service.images(request_id)
    assert re.fullmatch(r"[0-9a-f]{32}[.][a-z]+", image["output_url"].rpartition("/compressed/")[2])
    async with service.session.get(image["output_url"]) as response:
        data = await response.read()
        headers = response.headers
    assert (headers["Content-Type"], headers["Content-Length"]) == (content_type, str(len(data)))
    assert len(data) == image["output_bytes"]
    assert headers["Cache-Control"] == FOR_EVER
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r'"[^"]+"', headers["ETag"])
    assert headers["Accept-Ranges"] == "bytes"
    picture = photos.opened(data)
    assert picture.size == (image["width"], image["height"])
    assert content_type == f"image/{image['format']}"


async def test_parts_make_up_the_whole(service: Stage, url: str) -> None:
    async with service.session.get(url) as response:
        whole, tag = await response.read(), response.headers["ETag"]
    parts = b""
    for span in ("bytes=0-99", "bytes=100-"):
        async with service.session.get(url, headers={"Range": span, "If-Range": tag}) as response:
            assert response.status == 206
            assert response.headers["ETag"] == tag
            part = await response.read()
            first, last = len(parts), len(parts) + len(part) - 1
            assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
            assert response.headers["Content-Length"] == str(len(part))
            assert response.headers["Cache-Control"] == FOR_EVER
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            parts += part
    assert parts == whole
    async with service.session.get(url, headers={"Range": "bytes=-7"}) as response:
        assert (response.status, await response.read()) == (206, whole[-7:])


@pytest.mark.parametrize(
    "span, known, status",
    [
        ("bytes=0-9", '"another"', 200),
        ("bytes=0-9", "Mon, 01 Jan 1990 00:00:00 GMT", 200),
        ("bytes=0-1,4-5", None, 200),
        ("pages=1-2", None, 200),
        ("bytes=9-0", None, 200),
        ("bytes=99999999-", None, 416),
    ],
)
async def test_range_that_does_not_fit(
    span: str, known: str | None, status: int, service: Stage, url: str
) -> None:
    headers = {"Range": span} | ({"If-Range": known} if known else {})
    if status == 416:
        answer = await service.refused(416, "GET", url, headers=headers)
        assert re.fullmatch(r"bytes \*/\d+", answer["Content-Range"])
        assert "immutable" not in answer.get("Cache-Control", "")
        return
    async with service.session.get(url, headers=headers) as response:
        assert response.status == status
        assert "Content-Range" not in response.headers
        assert len(await response.read()) == int(response.headers["Content-Length"])


@pytest.mark.parametrize(
    "value, status",
    [("{tag}", 304), ("W/{tag}", 304), ('"x", {tag}', 304), ("*", 304), ('"x"', 200), ('W/"x"', 200)],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_image_that_the_client_has_is_not_sent_again(
    method: str, value: str, status: int, service: Stage, url: str
) -> None:
    async with service.session.get(url) as response:
        tag = response.headers["ETag"]
    headers = {"If-None-Match": value.format(tag=tag)}
    async with service.session.request(method, url, headers=headers) as response:
        assert (response.status, response.headers["ETag"]) == (status, tag)
        assert response.headers["Cache-Control"] == FOR_EVER
        assert bool(await response.read()) == (status == 200 and method == "GET")


async def test_range_and_preconditions_by_date_and_tag(service: Stage, url: str) -> None:
    async with service.session.get(url) as response:
        tag, modified = response.headers["ETag"], response.headers["Last-Modified"]
    long_ago = "Mon, 01 Jan 1990 00:00:00 GMT"

    async def status(**fields: str) -> int:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with service.session.get(url, headers=headers) as response:
            return response.status

    assert await status(Range="bytes=0-9", If_Range=modified) == 206
    assert await status(If_Modified_Since=modified) == 304
    assert await status(If_Modified_Since=long_ago) == 200
    assert await status(If_Unmodified_Since=modified) == 200
    assert await status(If_Unmodified_Since=long_ago) == 412
    assert await status(If_Match=f'"x", {tag}') == 200
    assert await status(If_Match="*") == 200
    assert await status(If_Match=f"W/{tag}") == 412
    assert await status(If_Match='"x"') == 412


def store(folder: Path, name: str, data: bytes) -> None:
    (next(folder.rglob("compressed")) / name).write_bytes(data)


@pytest.mark.parametrize("size", [1000, 131_072, 131_073, 1_000_000])
async def test_file_of_any_size_is_sent_whole_and_in_parts(
    size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytes(n * 31 % 251 for n in range(size))
    folder = tmp_path_factory.mktemp("sizes")
    async with stage(folder) as service:
        path = f"/compressed/{size:032x}.jpg"
        store(folder, f"{size:032x}.jpg", data)
        async with service.session.get(f"{service.root}{path}") as response:
            assert await response.read() == data
        for first, last in ((0, 9), (131_000 % size, size - 1), (size - 1, size - 1)):
            span = {"Range": f"bytes={first}-{last}"}
            async with service.session.get(f"{service.root}{path}", headers=span) as response:
                assert (response.status, await response.read()) == (206, data[first : last + 1])


async def test_head_has_the_headers_of_get(service: Stage, url: str) -> None:
    names = ("Content-Type", "Content-Length", "ETag", "Cache-Control", "X-Content-Type-Options")
    async with service.session.get(url) as response:
        expected = {name: response.headers[name] for name in names}
    async with service.session.head(url) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert {name: response.headers[name] for name in names} == expected


@pytest.mark.parametrize(
    "name", ["", "x", f"{'0' * 32}.jpg", "%2e%2e%2fresizer.db", "..%5cresizer.db", "%00"]
)
async def test_any_other_name_is_a_problem_that_is_not_kept(name: str, service: Stage, url: str) -> None:
    for asked in (f"/compressed/{name}", f"{url}{name or '/'}", url.replace(".jpg", ".png")):
        headers = await service.refused(404, "GET", asked)
        assert "immutable" not in headers.get("Cache-Control", "")


async def test_image_keeps_its_url_and_tag_over_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("kept")
    async with stage(folder) as service:
        request_id = await service.finished([("One", service.picture())])
        path = (await service.images(request_id))[0]["output_url"].removeprefix(service.root)
        async with service.session.get(path) as response:
            tag = response.headers["ETag"]
    async with stage(folder) as service:
        assert await service.code("GET", path, headers={"If-None-Match": tag}) == 304
        assert (await service.images(request_id))[0]["output_url"] == f"{service.root}{path}"
