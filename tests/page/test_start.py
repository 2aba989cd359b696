"""Choose a CSV, check it, and send it."""

import asyncio
import base64
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from origin import Origin
from page.scenes import choose, serve_photos, standing, write_catalogue
from service import Serve, images

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_chosen_csv_is_shown_before_anything_is_sent(serve: Serve, page: Page, tmp_path: Path) -> None:
    client = await serve()
    rows = [
        (f"Chair {number}", "https://a.example/1.jpg", "https://a.example/w_1,h_2/2.jpg")
        for number in range(12)
    ]
    file = write_catalogue(tmp_path, rows)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await choose(page, str(client.make_url("/")), file)
    await expect(page.locator("main").get_by_text("12 products, 24 images")).to_be_visible()
    await expect(page.get_by_role("cell", name="Chair 0", exact=True)).to_be_visible()
    await expect(page.locator("main").get_by_text("https://a.example/w_1,h_2/2.jpg").first).to_be_visible()
    await expect(page.locator("main").get_by_text("and 4 more products")).to_be_visible()
    await expect(page.get_by_role("button", name="Compress 24 images")).to_be_enabled()
    assert set(sent) == {"GET"}
    async with client.get("/requests") as response:
        assert (await response.json())["data"] == []


async def test_dropped_csv_is_read_and_options_are_sent(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    file = write_catalogue(tmp_path, [("Chair", url)], name="dropped.csv")
    await page.goto(str(client.make_url("/")))
    data = base64.b64encode(file.read_bytes()).decode()
    handle = await page.evaluate_handle(
        """data => {
            const carried = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), each => each.charCodeAt(0));
            carried.items.add(new File([bytes], "dropped.csv"));
            return carried;
        }""",
        data,
    )
    await page.dispatch_event("footer, main", "drop", {"dataTransfer": handle})
    await expect(page.locator("main").get_by_text("1 product, 1 image")).to_be_visible()
    slider = page.get_by_label("Quality")
    await slider.fill("30")
    await expect(page.locator("main").get_by_text("Very small")).to_be_visible()
    await page.get_by_label("Format").select_option("webp")
    await page.get_by_label("Largest width").fill("100")
    await page.get_by_role("button", name="Compress 1 image").click()
    await expect(standing(page)).to_have_text("Completed")
    await expect(page.locator("main").get_by_text("quality 30 · WEBP · at most 100 px wide")).to_be_visible()
    (image,) = await images(client, page.url.rpartition("/")[2])
    assert (image["format"], image["width"], image["height"]) == ("webp", 100, 75)


async def test_background_is_asked_for_only_where_it_is_seen_and_a_box_needs_both_limits(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    await choose(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", url)]))
    background, colour = page.get_by_label("Background", exact=True), page.get_by_label("Background colour")
    fit, height = page.get_by_label("Fit"), page.get_by_label("Largest height")
    await expect(background).to_be_hidden()
    await page.get_by_label("Format").select_option("jpeg")
    await expect(background).to_be_visible()
    await page.get_by_label("Format").select_option("png")
    await expect(background).to_be_hidden()
    await fit.select_option("cover")
    await expect(background).to_be_hidden()
    await fit.select_option("pad")
    await expect(background).to_be_visible()
    await expect(colour).to_be_hidden()
    await background.select_option("colour")
    await colour.fill("#20c060")
    await page.get_by_label("Effort").select_option("fast")
    await page.get_by_label("Largest width").fill("120")
    button = page.get_by_role("button", name="Compress 1 image")
    await button.click()
    # the browser focuses the missing field and sends nothing
    await expect(height).to_be_focused()
    await height.fill("150")
    await height.press("Enter")
    await expect(standing(page)).to_have_text("Completed")
    options = "quality 50 · PNG · effort fast · padded to 120 × 150 px · background #20c060"
    await expect(page.locator("main").get_by_text(options)).to_be_visible()
    (image,) = await images(client, page.url.rpartition("/")[2])
    assert (image["format"], image["width"], image["height"]) == ("png", 120, 150)


BAD = {
    "no column": (b"S. No.,Name,Input Image Urls\n1,a,https://a.example/1.jpg\n", "Line 1", "Product Name"),
    "no name": (
        b"S. No.,Product Name,Images\n1,a,https://a.example/1.jpg\n2, ,https://a.example/2.jpg\n",
        "Line 3",
        "no name",
    ),
    "open quote": (
        b'No,SKU,Images\n1,a,"https://a.example/1.jpg\n2,b,https://a.example/2.jpg\n',
        "Line 2",
        "never closed",
    ),
    "after a quote": (
        b'No,SKU,Images\n1,a,https://a.example/1.jpg\n\n3,"b"c,https://a.example/2.jpg\n',
        "Line 4",
        "text follows",
    ),
    "no url": (b"No,SKU,Images\n1,a,here\n", "Line 1", "no URL in this column"),
    "spilled text": (b"No,SKU,Images\n1,a,https://a.example/1.jpg,oops\n", "Line 2", "oops"),
    "no row": (b"No,SKU,Images\n", "Line 1", "no product"),
    "empty": (b"", "Line 1", "empty"),
    "workbook": (b"PK\x03\x04rest", "Line 1", "Excel workbook"),
}


async def test_problems_of_a_csv_are_shown_with_their_lines_and_it_is_not_sent(
    serve: Serve, page: Page, tmp_path: Path
) -> None:
    client = await serve()
    await page.goto(str(client.make_url("/")))
    for name, (data, line, words) in BAD.items():
        file = tmp_path / f"{name}.csv"
        file.write_bytes(data)
        await page.get_by_label(re.compile("Choose (a file|another)")).set_input_files(file)
        await expect(page.get_by_role("heading", name=file.name)).to_be_visible()
        await expect(page.get_by_role("alert"), name).to_contain_text(line)
        await expect(page.get_by_role("alert"), name).to_contain_text(words)
        await expect(page.get_by_role("button", name=re.compile("^Compress "))).to_have_count(0)
        assert "null" not in await page.locator("main").inner_text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
async def test_csv_is_read_in_its_encoding_and_with_its_delimiter(
    serve: Serve, page: Page, tmp_path: Path, encoding: str
) -> None:
    client = await serve()
    file = tmp_path / "stühle.csv"
    urls, name = "https://a.example/1.jpg|https://a.example/2.jpg", 'Stühle; ""groß""\r\nund schön'
    text = f'Images;Product;No;\r\n"{urls}";"{name}";7\r\n'
    file.write_bytes(text.encode(encoding))
    await choose(page, str(client.make_url("/")), file)
    await expect(page.locator("main").get_by_text("1 product, 2 images")).to_be_visible()
    await expect(page.get_by_role("cell", name='Stühle; "groß" und schön')).to_be_visible()


async def test_refusal_of_the_service_is_shown_beside_the_file(
    serve: Serve, page: Page, tmp_path: Path
) -> None:
    """Only the service knows which webhooks are allowed."""
    client = await serve(webhook={"allow_networks": []})
    file = write_catalogue(tmp_path, [("Chair", "https://a.example/1.jpg")])
    await choose(page, str(client.make_url("/")), file)
    await page.get_by_label("Webhook").fill("ftp://a.example/hook")
    await page.get_by_role("button", name="Compress 1 image").click()
    await expect(page.get_by_role("alert")).to_contain_text("The service refused the upload")
    await expect(page.get_by_role("alert")).to_contain_text("webhook_url")


async def test_unreachable_service_loses_nothing(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    await choose(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", url)]))
    await page.route("**/upload", lambda route: route.abort())
    button = page.get_by_role("button", name="Compress 1 image")
    await button.click()
    await expect(page.get_by_role("alert")).to_contain_text("Cannot reach the service.")
    await page.unroute("**/upload")
    await button.click()
    await expect(standing(page)).to_have_text("Completed")


async def test_page_accepts_the_sample_csv(serve: Serve, page: Page, tmp_path: Path) -> None:
    client = await serve()
    await page.goto(str(client.make_url("/")))
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Download a sample CSV").click()
    download = await waiting.value
    assert download.suggested_filename == "sample.csv"
    await download.save_as(tmp_path / "sample.csv")
    await choose(page, str(client.make_url("/")), tmp_path / "sample.csv")
    await expect(page.locator("main").get_by_text("3 products, 5 images")).to_be_visible()


async def test_token_is_asked_for_once(serve: Serve, page: Page, origin: Origin, tmp_path: Path) -> None:
    client = await serve(server={"api_tokens": ["correct-horse"]})
    urls = serve_photos(origin, 2)
    await choose(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", *urls)]))
    await page.get_by_role("button", name="Compress 2 images").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Token").fill("wrong")
    await dialog.get_by_role("button", name="Continue").click()
    await expect(dialog.get_by_role("alert")).to_have_text("The token was not accepted.")
    await dialog.get_by_label("Token").fill("correct-horse")
    await dialog.get_by_role("button", name="Continue").click()
    await expect(standing(page)).to_have_text("Completed")
    await expect(page.locator(".row.completed .thumb.before img")).to_have_count(2)
    await page.reload()
    await expect(standing(page)).to_have_text("Completed")
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="Result CSV").click()
    assert b"/compressed/" in await asyncio.to_thread(Path(await (await waiting.value).path()).read_bytes)
    await page.get_by_role("button", name="Forget token").click()
    await expect(page.get_by_role("dialog").get_by_text("This service needs a token")).to_be_visible()
