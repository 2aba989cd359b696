"""Follow a request to its end, compare its images, and download the result."""

import asyncio
import io
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

import photos
from origin import Answer, Origin
from page.scenes import fact, send, serve_photos, standing, write_catalogue
from service import Serve, catalogue, images, settled, upload

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_progress_is_live_to_the_end(serve: Serve, page: Page, origin: Origin, tmp_path: Path) -> None:
    client = await serve()
    gate = asyncio.Event()
    urls = serve_photos(origin, 4, gate=gate)
    await send(
        page,
        str(client.make_url("/")),
        write_catalogue(tmp_path, [("Oak chair", *urls[:3]), ("Desk lamp", urls[3])]),
    )
    bar = page.get_by_role("progressbar", name="Images done")
    await expect(bar).to_have_attribute("aria-valuenow", "25")
    await expect(fact(page, "Compressed")).to_have_text("1 of 4")
    await expect(page).to_have_title("25 % · products.csv")
    await expect(page.locator(".row.completed")).to_have_count(1)
    await expect(page.locator(".row.pending")).to_have_count(3)
    gate.set()
    await expect(standing(page)).to_have_text("Completed")
    await expect(page).to_have_title("Completed · products.csv")
    await expect(page.locator(".row.completed")).to_have_count(4)
    await expect(page.locator("#announcer")).to_have_text("Completed: 4 images compressed.")
    row = page.get_by_role("listitem").nth(3)
    await expect(row).to_contain_text("Desk lamp")
    await expect(row).to_contain_text("320 × 240 · JPEG")
    for image in await row.locator("img").all():
        await expect(image).to_have_js_property("naturalWidth", 320)
    await expect(row.locator("img")).to_have_count(2)


async def test_failures_say_why_and_can_be_tried_again(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    (fine,) = serve_photos(origin, 1)
    missing, page_url = origin.url("/missing.jpg"), origin.add("/page.jpg", Answer.html())
    await send(
        page,
        str(client.make_url("/")),
        write_catalogue(tmp_path, [("Chair", fine, missing), ("Lamp", page_url)]),
    )
    await expect(standing(page)).to_have_text("Partly failed")
    await expect(fact(page, "Failed")).to_have_text("2")
    await page.get_by_role("button", name="Failed 2").click()
    await expect(page.get_by_role("listitem")).to_have_count(2)
    await expect(page.get_by_role("listitem").nth(0)).to_contain_text("Not found at the host (404)")
    await expect(page.get_by_role("listitem").nth(1)).to_contain_text("Not an image")
    origin.add("/missing.jpg", Answer(body=photos.jpeg(seed=7)))
    origin.add("/page.jpg", Answer(body=photos.jpeg(seed=8)))
    await page.get_by_role("button", name="Retry 2 failed images").click()
    await expect(standing(page)).to_have_text("Completed")
    await expect(fact(page, "Failed")).to_have_text("0")
    await expect(page.locator(".row.completed")).to_have_count(3)
    await expect(page.get_by_role("button", name="Retry")).to_be_hidden()


async def test_before_and_after_are_compared_by_a_slider(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    await send(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", url)]))
    await page.get_by_role("button", name="Compare before and after: Chair, image 1").click()
    dialog = page.get_by_role("dialog", name="Chair, image 1")
    await expect(dialog.locator(".picture.both")).to_be_visible()
    slider = dialog.get_by_role("slider")
    await expect(slider).to_be_focused()
    await expect(slider).to_have_value("50")
    await page.keyboard.press("Home")
    await expect(slider).to_have_attribute("aria-valuetext", "0 % before")
    await expect(dialog.locator("img.before")).to_have_css("clip-path", "inset(0px 100% 0px 0px)")
    box = await dialog.locator(".picture").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 3 / 4, box["y"] + box["height"] / 2, steps=3)
    await page.mouse.up()
    await expect(slider).to_have_attribute("aria-valuetext", "75 % before")
    before, after = dialog.locator("img.before"), dialog.locator("img.after")
    assert await before.bounding_box() == await after.bounding_box()
    await dialog.get_by_role("button", name="Full size").click()
    shown = await after.bounding_box()
    assert shown is not None
    assert (shown["width"], shown["height"]) == (320, 240)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Compare before and after: Chair, image 1")).to_be_focused()


async def test_missing_original_is_reported(serve: Serve, page: Page, origin: Origin) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    request_id = (await upload(client, catalogue([("Chair", url)])))["request_id"]
    await settled(client, request_id)
    origin.add("/0.jpg", Answer(status=404))
    await page.goto(str(client.make_url(f"/#/requests/{request_id}")))
    await page.get_by_role("button", name="Compare before and after").click()
    await expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text(
        "The original is no longer available from its host"
    )
    await expect(page.get_by_role("slider")).to_be_disabled()


async def test_downloads_are_the_service_s_own(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    urls = serve_photos(origin, 3)
    request_id = await send(
        page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", *urls)], name="autumn.csv")
    )
    await expect(standing(page)).to_have_text("Completed")
    taken = {}
    for button in ("Result CSV", "Images (ZIP)"):
        async with page.expect_download() as waiting:
            await page.get_by_role("button", name=button).click()
        download = await waiting.value
        taken[download.suggested_filename] = await asyncio.to_thread(Path(await download.path()).read_bytes)
    assert list(taken) == ["autumn-result.csv", "autumn-images.zip"]
    async with client.get(f"/result/{request_id}") as response:
        assert taken["autumn-result.csv"] == await response.read()
    with zipfile.ZipFile(io.BytesIO(taken["autumn-images.zip"])) as archive:
        packed = sorted(
            archive.getinfo(name).file_size for name in archive.namelist() if name.endswith(".jpg")
        )
    assert packed == sorted(image["output_bytes"] for image in await images(client, request_id))
    await page.get_by_role("button", name="Copy link").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == page.url


async def test_cancelling_and_deleting_ask_first(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    gate = asyncio.Event()
    urls = serve_photos(origin, 3, gate=gate)
    request_id = await send(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", *urls)]))
    await expect(fact(page, "Compressed")).to_have_text("1 of 3")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Keep compressing").click()
    await expect(standing(page)).to_have_text("In progress")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the rest").click()
    await expect(standing(page)).to_have_text("Cancelled")
    await expect(fact(page, "Cancelled")).to_have_text("2")
    gate.set()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    async with client.get(f"/status/{request_id}") as response:
        assert response.status == 200
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    async with client.get(f"/status/{request_id}") as response:
        assert response.status == 404


async def test_reload_resumes_where_it_left_off(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    gate = asyncio.Event()
    urls = serve_photos(origin, 3, gate=gate)
    await send(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", *urls)]))
    await expect(fact(page, "Compressed")).to_have_text("1 of 3")
    await page.reload()
    await expect(fact(page, "Compressed")).to_have_text("1 of 3")
    gate.set()
    await expect(standing(page)).to_have_text("Completed")


async def test_progress_is_polled_if_streams_are_blocked(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    gate = asyncio.Event()
    urls = serve_photos(origin, 2, gate=gate)
    await page.route("**/events", lambda route: route.abort())
    await send(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", *urls)]))
    await expect(fact(page, "Compressed")).to_have_text("1 of 2")
    gate.set()
    await expect(standing(page)).to_have_text("Completed")
    await expect(page.locator("#connection")).to_be_hidden()


async def test_only_what_can_be_seen_of_ten_thousand_images_is_in_the_page(
    serve: Serve, page: Page, origin: Origin
) -> None:
    client = await serve()
    url = origin.add("/a.jpg", Answer(gate=asyncio.Event()))
    rows = [
        (f"Product {number}", *[f"{url}?{number}-{each}" for each in range(10)]) for number in range(1_000)
    ]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    await page.goto(str(client.make_url(f"/#/requests/{request_id}")))
    await expect(page.get_by_role("listitem").first).to_contain_text("Product 0")
    items = page.get_by_role("listitem")
    for place, product in ((0.5, "Product 50"), (1, "Product 999"), (0.25, "Product 25")):
        await page.evaluate(
            "share => scrollTo(0, share * (document.documentElement.scrollHeight - innerHeight))", place
        )
        await expect(items.filter(has_text=product).first).to_be_visible()
        assert await items.count() < 40
    last = await items.last.get_attribute("aria-posinset")
    assert last is not None
    assert 2_000 < int(last) < 3_000
    assert await items.first.get_attribute("aria-setsize") == "10000"
