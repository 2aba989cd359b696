"""Fixtures of the page tests, on the event loop of the browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from origin import Origin
from service import Serve, serving


@pytest_asyncio.fixture(loop_scope="session")
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with serving(tmp_path / "data") as start:
        yield start
