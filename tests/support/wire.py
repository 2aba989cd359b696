"""Raw connections to the service, for clients that no library can simulate."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from resizer.cli.serving import listen
from resizer.config import ServerSettings

#: seconds; anything longer hangs
PATIENCE = 30


@asynccontextmanager
async def listening(app: web.Application, **settings: Any) -> AsyncIterator[int]:
    """Serve an application as `resizer serve` does, in this process; yields the port."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    listener = await listen(runner, ServerSettings(**settings), "127.0.0.1", 0)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await runner.cleanup()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One response as received."""

    status: int
    #: names in lower case
    headers: dict[str, str]
    body: bytes

    def problem(self, status: int) -> dict[str, Any]:
        """Return the problem document, which this must be."""
        assert self.status == status, (self.status, self.body[:500])
        assert self.headers["content-type"].startswith("application/problem+json")
        assert b"Traceback" not in self.body
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == status
        assert {"type", "title", "detail"} <= set(document)
        return document


class Wire:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        async with asyncio.timeout(PATIENCE):
            return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> bool:
        """Send bytes; returns False if the other side is gone."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            return False
        return not self.writer.is_closing()

    async def reply(self, *, head_only: bool = False) -> Reply:
        """Read one response, including interim ones."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            length = 0 if head_only else int(headers.get("content-length", "0"))
            body = await self.reader.readexactly(length)
        return Reply(status=int(head[0].split()[1]), headers=headers, body=body)

    async def closed(self) -> bytes:
        """Wait until the other side closes; returns the remaining bytes."""
        came = b""
        async with asyncio.timeout(PATIENCE):
            try:
                while piece := await self.reader.read(65_536):
                    came += piece
            except ConnectionError:
                # a reset keeps the bytes received before it
                came += bytes(self.reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001
        return came


def errors_in(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR or record.exc_info]
