"""Lost and late responses, views left early, unusual files."""

import asyncio
import io
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, Route, expect

from origin import Answer, Origin
from page.scenes import choose, fact, send, serve_photos, standing, write_catalogue
from service import Serve, catalogue, settled, upload

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_upload_whose_response_is_lost_is_accepted_once(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    await choose(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", url)]))

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/upload", lose)
    button = page.get_by_role("button", name="Compress 1 image")
    await button.click()
    await expect(page.get_by_role("alert")).to_contain_text("Cannot reach the service.")
    await expect(page.get_by_role("alert")).to_contain_text("the file is accepted only once")
    await page.unroute("**/upload")
    await button.click()
    await expect(standing(page)).to_have_text("Completed")
    async with client.get("/requests") as response:
        assert len((await response.json())["data"]) == 1


async def test_images_read_just_before_the_end_are_read_again(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    gate = asyncio.Event()
    urls = serve_photos(origin, 3, gate=gate)
    late = asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        await late.wait()
        await route.fulfill(response=answer)

    await page.route("**/images?*", hold, times=1)
    await send(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", *urls)]))
    await expect(fact(page, "Compressed")).to_have_text("1 of 3")
    gate.set()
    await expect(standing(page)).to_have_text("Completed")
    late.set()
    await expect(page.locator(".row.completed")).to_have_count(3)


async def test_dialog_closes_with_its_view(serve: Serve, page: Page, origin: Origin, tmp_path: Path) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    request_id = await send(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", url)]))
    await expect(standing(page)).to_have_text("Completed")
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Drop your CSV")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    async with client.get(f"/status/{request_id}") as response:
        assert response.status == 200


async def test_buttons_keep_the_focus_and_say_what_they_do(
    serve: Serve, page: Page, origin: Origin, tmp_path: Path
) -> None:
    client = await serve()
    gate = asyncio.Event()
    origin.add("/missing.jpg", Answer(status=404))
    urls = serve_photos(origin, 3, gate=gate)
    rows = [("Chair", urls[0], origin.url("/missing.jpg"), *urls[1:])]
    await send(page, str(client.make_url("/")), write_catalogue(tmp_path, rows))
    await expect(fact(page, "Failed")).to_have_text("1")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the rest").click()
    await expect(standing(page)).to_have_text("Cancelled")
    gate.set()
    # its name changes for two seconds, and then back
    link = page.get_by_role("button", name=re.compile("Copy link|Copied"))
    await link.press("Enter")
    await expect(page.locator("#announcer")).to_have_text("Link copied.")
    await expect(link).to_be_focused()
    delete = page.get_by_role("button", name="Delete")
    await delete.press("Enter")
    await page.keyboard.press("Escape")
    await expect(delete).to_be_focused()
    await page.get_by_role("button", name="Retry 3 failed or cancelled images").press("Enter")
    await expect(page.get_by_role("heading", name="products.csv")).to_be_focused()


async def test_request_deleted_while_it_is_shown_is_reported(
    serve: Serve, page: Page, origin: Origin
) -> None:
    client = await serve()
    url = origin.add("/missing.jpg", Answer(status=404))
    rows = [(f"Chair {number}", url) for number in range(150)]
    request_id = (await upload(client, catalogue(rows)))["request_id"]
    await settled(client, request_id)
    await page.goto(str(client.make_url(f"/#/requests/{request_id}")))
    await expect(page.get_by_role("listitem").first).to_contain_text("Not found at the host")
    async with client.delete(f"/requests/{request_id}") as response:
        assert response.status == 204
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    await expect(page.get_by_role("heading", name="There is no such request")).to_be_visible()


async def test_page_works_without_local_storage(serve: Serve, page: Page) -> None:
    client = await serve(server={"api_tokens": ["correct-horse"]})
    await page.add_init_script(
        """Object.defineProperty(window, 'localStorage', {
            get() { throw new DOMException('no', 'SecurityError'); }
        })"""
    )
    await page.goto(str(client.make_url("/#/requests")))
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Token").fill("correct-horse")
    await dialog.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()


async def test_calls_that_are_refused_together_ask_for_the_token_once(serve: Serve, page: Page) -> None:
    client = await serve(server={"api_tokens": ["correct-horse"]})
    late = asyncio.Event()
    asked: list[Request] = []

    async def hold(route: Route, request: Request) -> None:
        answer = await route.fetch()
        asked.append(request)
        await late.wait()
        await route.fulfill(response=answer)

    await page.goto(str(client.make_url("/#/requests")))
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await page.route("**/status/*", hold, times=1)
    # not waited for: it is held back
    await page.evaluate("void import('/page/api.js').then(({call}) => call('status/no').catch(() => {}))")
    await dialog.get_by_label("Token").fill("correct-horse")
    await dialog.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    late.set()
    await page.wait_for_load_state("networkidle")
    await expect(dialog).to_have_count(0)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "address, heading",
    [("%E0%A4", "There is no such request"), ("..%2F..%2Fping", "There is no such request")],
)
async def test_address_of_no_request_says_so(serve: Serve, page: Page, address: str, heading: str) -> None:
    client = await serve()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(str(client.make_url("/")) + f"#/requests/{address}")
    await expect(page.get_by_role("heading", name=heading)).to_be_visible()
    assert not any(url.endswith("/ping") for url in asked)


ODD = {
    "one long line": (b"x" * 300_000, "there is no column"),
    "a cell of separators": (b"No,SKU,Images\n1,a,https://a.example/1.jpg" + b" " * 100_000 + b"x\n", None),
    "a header with a line break": (b'S. No.;"Product\nName";Images\n1;a;https://a.example/1.jpg\n', None),
    "an empty cell first": (b'""\nNo;SKU;Images\n1;a;https://a.example/1.jpg\n', None),
    "an end mark": (b"No,SKU,Images\r\n1,a,https://a.example/1.jpg\r\n\x1a", None),
    "carriage returns": (b"No\tSKU\tImages\r1\ta\thttps://a.example/1.jpg\r", None),
    "a space behind a quote": (b'No,SKU,Images\n1,"a" ,https://a.example/1.jpg\n', "text follows"),
    "a bell": (b"No,SKU,Images\n1,a\x07b,https://a.example/1.jpg\n", "not text"),
    "a huge cell": (b"No,SKU,Images\n1,a,https://a.example/" + b"1" * (1 << 20) + b"\n", "1,048,576"),
}


async def test_odd_files_are_judged_as_the_service_judges_them(
    serve: Serve, page: Page, tmp_path: Path
) -> None:
    client = await serve()
    await page.goto(str(client.make_url("/")))
    for name, (data, refusal) in ODD.items():
        file = tmp_path / f"{name}.csv"
        file.write_bytes(data)
        await page.get_by_label(re.compile("Choose (a file|another)")).set_input_files(file)
        await expect(page.get_by_role("heading", name=file.name)).to_be_visible()
        if refusal is None:
            await expect(page.locator("main").get_by_text("1 product, 1 image"), name).to_be_visible()
        else:
            await expect(page.get_by_role("alert"), name).to_contain_text(refusal)
        headers = {"Content-Type": "text/csv"}
        async with client.post("/upload", data=io.BytesIO(data), headers=headers) as response:
            assert (response.status == 202) == (refusal is None), name
