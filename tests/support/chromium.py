"""A real Chromium that loads the page from the real service."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, async_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-extensions",
    "--no-first-run",
    # colours are compared as sRGB values, whatever the screen
    "--force-color-profile=srgb",
    # names of other websites, rebound to this machine
    "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP resizer.test 127.0.0.1",
    # /dev/shm may be too small
    "--disable-dev-shm-usage",
]
LISTENING = re.compile(r"DevTools listening on (ws://\S+)")
WIDE = (1280, 800)
PHONE = (390, 844)
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
#: ms; longer than anything takes on any machine
PATIENCE = 60_000


@dataclass(frozen=True)
class Windows:
    """Opens windows, and collects the errors of all of them."""

    context: BrowserContext
    faults: list[str]

    async def open(self, size: tuple[int, int] = WIDE, *, dark: bool = False) -> Page:
        width, height = size
        page = await self.context.new_page()
        await page.set_viewport_size({"width": width, "height": height})
        await page.emulate_media(color_scheme="dark" if dark else "light")
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self._told(message.text))
        page.on("request", lambda request: self._asked(request.url))
        return page

    def _told(self, text: str) -> None:
        if "Content Security Policy" in text or "Trusted" in text:
            self.faults.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "http://localhost:", "blob:", "about:")):
            self.faults.append(f"the page asked for {url}")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one Chromium for all tests of a process; yields the address of its debugger."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's package chromium")
    profile = tmp_path_factory.mktemp("profile")
    with subprocess.Popen(
        [program, "--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}", *FLAGS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := LISTENING.search(line):
                break
        else:
            pytest.fail("Chromium did not start: " + "".join(said))
        # later output must not fill the pipe
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[1]
        process.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Start Playwright's driver once: its start takes half as long as a test."""
    async with async_playwright() as playwright:
        opened = await playwright.chromium.connect_over_cdp(chromium)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def windows(browser: Browser) -> AsyncIterator[Windows]:
    """Open windows without state from other tests; a profile for each would take twice as long."""
    (context,) = browser.contexts
    context.set_default_timeout(PATIENCE)
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    kept = {*context.pages}  # without a page Chromium would exit
    opened = Windows(context, [])
    yield opened
    for page in context.pages:
        if page not in kept:
            session = await context.new_cdp_session(page)
            origin = await page.evaluate("location.origin")
            await session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
            await page.close()
    assert opened.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(windows: Windows) -> Page:
    return await windows.open()


async def violations(page: Page) -> list[Any]:
    """Return the violations that axe-core finds in the page now; WCAG 2.2 AA and good practice."""
    if not AXE.exists():
        pytest.skip("needs `npm install --no-save axe-core`, of which npm is Debian's package npm")
    session: CDPSession = await page.context.new_cdp_session(page)
    # not as a script of the page, which its policy blocks
    await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    answer = await session.send(
        "Runtime.evaluate",
        {
            "expression": "axe.run().then(({violations}) => JSON.stringify("
            "violations.map(({id, nodes}) => [id, ...nodes.map(({html}) => html)])))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    await session.detach()
    found: list[Any] = json.loads(answer["result"]["value"])
    return found
