"""A cached result saves fetching and compressing a URL again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import photos
from origin import Answer, Origin
from service import Client, catalogue, images, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
ETAGGED = {"ETag": '"v1"'}
DATED = {"Last-Modified": MODIFIED}


async def run(client: Client, *urls: str, **options: str) -> list[str]:
    """Compress these URLs as one product; returns the slots of the result."""
    request_id = (await upload(client, catalogue([("One", *urls)]), **options))["request_id"]
    assert (await settled(client, request_id))["status"] == "completed"
    slots: list[str] = (await result_rows(client, request_id))[1][3].split(",")
    return slots


@pytest.mark.parametrize(
    "headers, sent",
    [
        (ETAGGED, {"if-none-match": '"v1"'}),
        ({"ETag": 'W/"v1"'}, {"if-none-match": 'W/"v1"'}),
        (DATED, {"if-modified-since": MODIFIED}),
        ({**ETAGGED, **DATED}, {"if-none-match": '"v1"', "if-modified-since": MODIFIED}),
    ],
)
async def test_a_known_image_is_asked_for_by_what_its_origin_gave(
    serve: Serve, origin: Origin, headers: dict[str, str], sent: dict[str, str]
) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg(), headers=headers, conditional=True))
    first = await run(client, url)
    assert await run(client, url) == first
    before, after = origin.requests
    assert not {"if-none-match", "if-modified-since"} & set(before.headers)
    assert {name: after.headers.get(name) for name in ("if-none-match", "if-modified-since")} == {
        "if-none-match": sent.get("if-none-match"),
        "if-modified-since": sent.get("if-modified-since"),
    }
    # and the third time, although the second response had no image
    assert await run(client, url) == first
    assert origin.requests[-1].headers.keys() >= sent.keys()


async def test_an_unchanged_image_has_all_its_figures(serve: Serve, origin: Origin) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg(), headers=ETAGGED, conditional=True))
    rows = catalogue([("One", url)])
    bodies = []
    for _ in range(2):
        request_id = (await upload(client, rows))["request_id"]
        assert (await settled(client, request_id))["bytes"]["saved"] > 0
        bodies.append(await images(client, request_id))
    assert bodies[0] == bodies[1]


async def test_an_image_without_validators_is_fetched_again_but_not_compressed(
    serve: Serve, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    first = await run(client, url)
    (file,) = (tmp_path / "data" / "compressed").iterdir()
    made = file.stat().st_mtime_ns
    assert await run(client, url) == first
    assert origin.hits["/a.jpg"] == 2
    assert file.stat().st_mtime_ns == made
    text = await (await client.get("/metrics")).text()
    assert 'resizer_images_reused_total{how="same_bytes"} 1.0' in text
    assert "resizer_compress_seconds_count 1.0" in text


async def test_another_recipe_is_made_from_a_fetch_of_its_own(serve: Serve, origin: Origin) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg(), headers=ETAGGED, conditional=True))
    first = await run(client, url)
    second = await run(client, url, quality="30")
    assert first != second
    assert "if-none-match" not in origin.requests[-1].headers
    # both are cached now
    assert await run(client, url) == first
    assert await run(client, url, quality="30") == second
    assert [seen.headers.get("if-none-match") for seen in origin.requests[2:]] == ['"v1"', '"v1"']


async def test_validators_are_sent_to_nobody_but_who_gave_them(serve: Serve, origin: Origin) -> None:
    client = await serve()
    target = Answer(body=photos.jpeg(), headers=ETAGGED, conditional=True)
    origin.add("/one.jpg", target)
    origin.add("/two.jpg", Answer(body=photos.jpeg(seed=2), headers=ETAGGED, conditional=True))
    url = origin.add("/a.jpg", Answer.redirect("/one.jpg"))
    first = await run(client, url)
    assert await run(client, url) == first
    assert [seen.headers.get("if-none-match") for seen in origin.requests] == [None, None, None, '"v1"']
    # the same tag for another image
    origin.add("/a.jpg", Answer.redirect("/two.jpg"))
    assert await run(client, url) != first
    assert origin.requests[-1].headers.get("if-none-match") is None


@pytest.mark.parametrize("status", [400, 412])
async def test_a_host_that_does_not_understand_the_question_is_asked_without_it(
    serve: Serve, origin: Origin, status: int
) -> None:
    client = await serve()
    image = Answer(body=photos.jpeg(), headers=ETAGGED)
    url = origin.add("/a.jpg", image, Answer(status=status), image)
    assert await run(client, url) == await run(client, url)
    assert [seen.headers.get("if-none-match") for seen in origin.requests] == [None, '"v1"', None]


async def test_a_file_that_is_gone_is_made_again(serve: Serve, origin: Origin, tmp_path: Path) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg(), headers=ETAGGED, conditional=True))
    first = await run(client, url)
    (file,) = (tmp_path / "data" / "compressed").iterdir()
    file.unlink()
    assert await run(client, url) == first
    assert file.exists()
    assert "if-none-match" not in origin.requests[-1].headers


async def test_a_damaged_file_is_made_again(serve: Serve, origin: Origin, tmp_path: Path) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    first = await run(client, url)
    (file,) = (tmp_path / "data" / "compressed").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:20])
    assert await run(client, url) == first
    assert file.read_bytes() == whole


async def test_a_url_that_comes_many_times_in_a_request_is_fetched_once(serve: Serve, origin: Origin) -> None:
    client = await serve(queue={"workers": 3})
    url = origin.add("/a.jpg", Answer(body=photos.jpeg()))
    others = [origin.add(f"/{n}.jpg", Answer(body=photos.jpeg(seed=n))) for n in range(1, 4)]
    slots = await run(client, *[url] * 40, *others, *[url] * 40)
    assert len(set(slots)) == 4
    assert len(set(slots[:40] + slots[-40:])) == 1
    assert origin.hits == {"/a.jpg": 1, "/1.jpg": 1, "/2.jpg": 1, "/3.jpg": 1}


async def test_a_url_that_fails_many_times_in_a_request_is_tried_once(serve: Serve, origin: Origin) -> None:
    client = await serve(queue={"workers": 2})
    url = origin.url("/gone.jpg")
    request_id = (await upload(client, catalogue([("One", *[url] * 50)])))["request_id"]
    assert (await settled(client, request_id))["images"]["failed"] == 50
    assert origin.hits["/gone.jpg"] == 1
    async with client.post(f"/requests/{request_id}/retry") as response:
        assert response.status == 202
    await settled(client, request_id)
    assert origin.hits["/gone.jpg"] == 2


async def test_two_recipes_at_once_share_one_fetch(serve: Serve, origin: Origin) -> None:
    client = await serve()
    gate = asyncio.Event()
    url = origin.add("/a.jpg", Answer(body=photos.jpeg(), gate=gate))
    ids = [
        (await upload(client, catalogue([("One", url)]), quality=quality))["request_id"]
        for quality in ("30", "60")
    ]
    while (await metric(client, "resizer_images_in_flight")) < 2:  # noqa: ASYNC110  no event to wait for
        await asyncio.sleep(0.01)
    gate.set()
    rows = []
    for request_id in ids:
        assert (await settled(client, request_id))["status"] == "completed"
        rows += (await result_rows(client, request_id))[1:]
    assert rows[0][3] != rows[1][3]
    assert origin.hits["/a.jpg"] == 1


async def metric(client: Client, name: str) -> float:
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.split()[0] == name)


async def test_the_same_bytes_under_many_urls_are_compressed_once(serve: Serve, origin: Origin) -> None:
    client = await serve()
    urls = [origin.add(f"/{n}.jpg", Answer(body=photos.jpeg())) for n in range(10)]
    slots = await run(client, *urls)
    assert len(set(slots)) == 1
    assert set(origin.hits.values()) == {1}
    assert await metric(client, "resizer_compress_seconds_count") == 1.0


async def test_what_is_reused_tells_width_and_height_as_shown(serve: Serve, origin: Origin) -> None:
    """Also for a rotated source that was kept because it was smaller."""
    client = await serve()
    turned = photos.oriented_jpeg()
    urls = [origin.add(f"/{n}.jpg", Answer(body=turned)) for n in range(2)]
    request_id = (await upload(client, catalogue([("One", *urls)]), quality="100"))["request_id"]
    await settled(client, request_id)
    one, two = [{**image, "position": 0, "input_url": ""} for image in await images(client, request_id)]
    assert one == two
    assert (one["width"], one["height"]) == (240, 320)
