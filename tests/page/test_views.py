"""Every view is accessible, in both themes and sizes."""

import asyncio
import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from chromium import PHONE, WIDE, Windows, violations
from origin import Origin
from page.scenes import choose, fact, send, serve_photos, standing, write_catalogue
from process import Process, server
from service import Serve, catalogue, settled, upload

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def is_well(page: Page, *, dark: bool) -> None:
    """Assert that the page is accessible, fits the window, and has the system's theme."""
    assert await violations(page) == []
    wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{page.url} is wider than the window by {wider} px"
    red, green, blue = map(
        int, re.findall(r"\d+", await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    )
    assert (red + green + blue < 3 * 128) == dark


@pytest.mark.parametrize(
    "size, dark",
    [
        pytest.param(WIDE, False, id="wide-light", marks=[pytest.mark.soak, pytest.mark.early(1)]),
        pytest.param(PHONE, True, id="phone-dark"),
        pytest.param(WIDE, True, id="wide-dark", marks=[pytest.mark.soak, pytest.mark.early(1)]),
        pytest.param(PHONE, False, id="phone-light", marks=[pytest.mark.soak, pytest.mark.early(1)]),
    ],
)
async def test_every_view_is_accessible_and_fits(
    serve: Serve, windows: Windows, origin: Origin, tmp_path: Path, size: tuple[int, int], *, dark: bool
) -> None:
    client = await serve()
    address = str(client.make_url("/"))
    page = await windows.open(size, dark=dark)
    await page.goto(f"{address}#/requests")
    await expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    await is_well(page, dark=dark)
    await page.get_by_role("link", name="New", exact=True).first.click()
    await expect(page.get_by_role("heading", name="Drop your CSV")).to_be_visible()
    await is_well(page, dark=dark)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"No,SKU,Images\n1,,https://a.example/1.jpg\n")
    await choose(page, address, bad)
    await is_well(page, dark=dark)

    urls = serve_photos(origin, 3)
    long = "A very long name of a product, " * 8
    rows = [
        ("Chair", *urls[:2]),
        (long, urls[2]),
        ("Lamp", origin.url("/missing.jpg"), "ftp://a.example/x.jpg"),
    ]
    file = write_catalogue(tmp_path, rows)
    await choose(page, address, file)
    await page.get_by_label("Fit").select_option("pad")
    await page.get_by_label("Background", exact=True).select_option("colour")
    await is_well(page, dark=dark)
    await page.get_by_label("Fit").select_option("inside")
    await page.get_by_role("button", name="Compress 5 images").click()
    await expect(standing(page)).to_have_text("Partly failed")
    await expect(page.locator(".row.completed .before img").first).to_be_visible()
    await is_well(page, dark=dark)
    await page.get_by_role("button", name="Failed 2").click()
    await expect(page.get_by_role("listitem")).to_have_count(2)
    await is_well(page, dark=dark)
    await page.get_by_role("button", name="All 5").click()
    await page.get_by_role("button", name="Compare before and after").first.click()
    await expect(page.locator(".picture.both")).to_be_visible()
    await is_well(page, dark=dark)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await is_well(page, dark=dark)
    await page.keyboard.press("Escape")
    await page.goto(f"{address}#/requests")
    await expect(page.get_by_role("link", name="products.csv")).to_be_visible()
    await expect(page.get_by_role("row").nth(1)).to_contain_text("3 of 5 · 2 failed")
    await is_well(page, dark=dark)
    await page.goto(f"{address}#/requests/nothing")
    await expect(page.get_by_role("heading", name="There is no such request")).to_be_visible()
    await is_well(page, dark=dark)


async def test_token_prompt_is_accessible(serve: Serve, page: Page) -> None:
    client = await serve(server={"api_tokens": ["correct-horse"]})
    await page.goto(str(client.make_url("/#/requests")))
    await expect(page.get_by_role("dialog").get_by_label("Token")).to_be_focused()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("heading", name="Cannot show the requests")).to_be_visible()
    assert await violations(page) == []


async def test_page_works_by_keyboard(serve: Serve, page: Page, origin: Origin, tmp_path: Path) -> None:
    client = await serve()
    (url,) = serve_photos(origin, 1)
    await choose(page, str(client.make_url("/")), write_catalogue(tmp_path, [("Chair", url)]))
    await expect(page.get_by_role("heading", name="products.csv")).to_be_focused()
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await page.get_by_role("button", name="Compress 1 image").evaluate(
            "each => each === document.activeElement"
        ):
            break
    await page.keyboard.press("Enter")
    await expect(standing(page)).to_have_text("Completed")
    await expect(page.locator("main")).to_be_focused()


async def test_list_shows_status_counts_and_savings_and_leads_to_each(
    serve: Serve, page: Page, origin: Origin
) -> None:
    client = await serve()
    gate = asyncio.Event()
    urls = serve_photos(origin, 2, gate=gate)
    for number in range(22):
        await upload(client, catalogue([("Chair", urls[0])]), filename=f"{number}.csv")
    last = (await upload(client, catalogue([("Chair", *urls)]), filename="last.csv"))["request_id"]
    await page.goto(str(client.make_url("/#/requests")))
    rows = page.get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("last.csv")
    await expect(rows.nth(1)).to_contain_text("In progress")
    await expect(rows).to_have_count(21)
    await page.get_by_role("button", name="Show older requests").click()
    await expect(rows).to_have_count(24)
    gate.set()
    await settled(client, last)
    await expect(rows.nth(1)).to_contain_text("Completed")
    await expect(rows.nth(1)).to_contain_text("2 of 2")
    await expect(rows.nth(1)).to_contain_text(re.compile(r"−\d+\s%"))
    await page.get_by_role("link", name="last.csv").click()
    await expect(fact(page, "Compressed")).to_have_text("2 of 2")


async def test_page_survives_a_restart_of_the_server(page: Page, origin: Origin, tmp_path: Path) -> None:
    gate = asyncio.Event()
    urls = serve_photos(origin, 3, gate=gate)
    data = tmp_path / "data"
    async with server(data) as first:
        address = await first.url()
        await send(page, f"{address}/", write_catalogue(tmp_path, [("Chair", *urls)]))
        await expect(fact(page, "Compressed")).to_have_text("1 of 3")
        first.signal(signal.SIGKILL)
        await first.ended()
        await expect(page.locator("#connection")).to_contain_text("The connection to the service is lost")
    serve_photos(origin, 3)
    port = address.rpartition(":")[2]
    async with Process("serve", "--port", port, "--data-dir", data):
        await expect(standing(page)).to_have_text("Completed")
        await expect(page.locator("#connection")).to_be_hidden()
        await expect(fact(page, "Compressed")).to_have_text("3 of 3")
