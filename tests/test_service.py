"""The main path, end to end: upload, status, result, images, signed webhook."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import photos
from origin import Answer, Origin
from service import SECRET, Client, Inbox, catalogue, images, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
def pictures(origin: Origin) -> dict[str, str]:
    """Return the URLs of one image of each kind, and two that are not images, by name."""
    answers = {
        "photo.jpg": Answer(body=photos.jpeg()),
        "alpha.png": Answer(body=photos.png_with_alpha(), content_type="image/png"),
        "photo.webp": Answer(body=photos.webp(), content_type="image/webp"),
        "moving.gif": Answer(body=photos.animated_gif(), content_type="image/gif"),
        "cmyk.jpg": Answer(body=photos.cmyk_jpeg()),
        "turned.jpg": Answer(body=photos.oriented_jpeg()),
        "gone.jpg": Answer(status=404),
        "page.jpg": Answer.html(),
    }
    for name, answer in answers.items():
        origin.add(f"/{name}", answer)
    return {name: origin.url(f"/{name}") for name in answers}


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox() as receiver:
        yield receiver


async def test_upload_to_webhook_slot_for_slot(pictures: dict[str, str], serve: Serve, inbox: Inbox) -> None:
    client = await serve(webhook={"secret": SECRET})
    url = pictures
    rows = [
        ("Photos", url["photo.jpg"], url["gone.jpg"], url["turned.jpg"]),
        ("Graphics", url["alpha.png"], url["moving.gif"]),
        ("Nothing",),
        ("Print", url["page.jpg"], url["cmyk.jpg"], url["photo.webp"], url["photo.jpg"]),
    ]
    accepted = await upload(client, catalogue(rows), webhook_url=inbox.url)
    assert (accepted["products"], accepted["images"]) == (4, 9)

    status = await settled(client, accepted["request_id"])
    assert status["status"] == "partial"
    assert status["images"] == {"total": 9, "pending": 0, "completed": 7, "failed": 2, "cancelled": 0}
    assert status["bytes"]["saved"] == status["bytes"]["input"] - status["bytes"]["output"] > 0

    result = await result_rows(client, accepted["request_id"])
    assert result[0] == ["S. No.", "Product Name", "Input Image Urls", "Output Image Urls"]
    slots = {name: cell.split(",") for _, name, _, cell in result[1:]}
    assert [bool(slot) for slot in slots["Photos"]] == [True, False, True]
    assert [bool(slot) for slot in slots["Graphics"]] == [True, True]
    assert slots["Nothing"] == [""]
    assert [bool(slot) for slot in slots["Print"]] == [False, True, True, True]
    assert slots["Photos"][0] == slots["Print"][3]  # the same image is one file

    listed = await images(client, accepted["request_id"])
    assert [each["input_url"] for each in listed] == [each for row in rows for each in row[1:]]
    assert [each["position"] for each in listed] == [1, 2, 3, 1, 2, 1, 2, 3, 4]
    codes = [each["error"] and each["error"]["code"] for each in listed]
    assert codes == [None, "http_status", None, None, None, "not_an_image", None, None, None]
    assert listed[1]["error"]["http_status"] == 404

    for each in listed:
        if each["status"] != "completed":
            assert each["output_url"] is None
            continue
        async with client.session.get(each["output_url"]) as response:
            assert response.status == 200
            data = await response.read()
        picture = photos.opened(data)
        assert len(data) == each["output_bytes"]
        # the GIF cannot be made smaller, so its bytes are kept
        assert each["output_bytes"] < each["input_bytes"] or each["format"] == "gif"
        assert picture.format is not None
        assert picture.format.lower() == each["format"]
        assert picture.size == (each["width"], each["height"])
    by_name = dict(zip([each["input_url"].rpartition("/")[2] for each in listed], listed, strict=True))
    assert (by_name["turned.jpg"]["width"], by_name["turned.jpg"]["height"]) == (240, 320)

    (event,) = await inbox.events()
    assert inbox.answers == [204]
    assert event["type"] == "request.partial"
    # the event has the status, except for its own delivery
    assert {**event["data"], "webhook": None} == {**status, "webhook": None}
