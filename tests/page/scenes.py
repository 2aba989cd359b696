"""Actions on the page, and catalogues for them."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Locator, Page, expect

import photos
from origin import Answer, Origin
from service import catalogue

expect.set_options(timeout=60_000)

REQUEST = re.compile(r"#/requests/[0-9a-f-]{36}$")


def write_catalogue(folder: Path, rows: Sequence[Sequence[str]], *, name: str = "products.csv") -> Path:
    file = folder / name
    file.write_bytes(catalogue(rows))
    return file


def serve_photos(origin: Origin, count: int, *, gate: asyncio.Event | None = None) -> list[str]:
    """Serve photos, all but the first behind the gate; returns their URLs."""
    return [
        origin.add(f"/{number}.jpg", Answer(body=photos.jpeg(seed=number), gate=gate if number else None))
        for number in range(count)
    ]


async def choose(page: Page, address: str, file: Path) -> None:
    await page.goto(address)
    await page.get_by_label("Choose a file").set_input_files(file)
    await expect(page.get_by_role("heading", name=file.name)).to_be_visible()


async def send(page: Page, address: str, file: Path) -> str:
    """Send a file with default options; returns the request's id, with its view open."""
    await choose(page, address, file)
    await page.get_by_role("button", name=re.compile("^Compress ")).click()
    await page.wait_for_url(REQUEST)
    return page.url.rpartition("/")[2]


def standing(page: Page) -> Locator:
    """Return the label with the request's status."""
    return page.locator("main .title .pill").first


def fact(page: Page, name: str) -> Locator:
    return page.locator(".fact", has=page.get_by_text(name, exact=True)).locator("dd").first
