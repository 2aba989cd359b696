"""A client in a process of its own that asks for one URL, at a pace or as fast as it is answered.

Raw sockets and kept connections: an asyncio protocol that looks for the length of the answer and nothing
else. It runs on the same machine as the service; what it takes of the processor is missing there.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PACE = 0.005  # seconds from one request to the next where latency is measured


class Client:
    """Requests to the process."""

    def __init__(self, talk: Connection) -> None:
        self._talk = talk

    def latencies(self, url: str, count: int) -> list[float]:
        """Return the seconds of so many requests, one after the other with pauses."""
        seconds: list[float] = self._do("latencies", url, count)
        return seconds

    def rate(self, url: str, connections: int, seconds: float) -> float:
        """Return how many requests are answered in a second on so many connections."""
        return float(self._do("answered", url, connections, seconds)) / seconds

    def _do(self, *order: object) -> Any:
        self._talk.send(order)
        return self._talk.recv()


@contextmanager
def client() -> Iterator[Client]:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_obey, args=(there,), daemon=True)
    process.start()
    try:
        yield Client(here)
    finally:
        process.terminate()
        process.join()


def _obey(talk: Connection) -> None:
    while True:
        what, *arguments = talk.recv()
        talk.send(asyncio.run(latencies(*arguments) if what == "latencies" else answered(*arguments)))


class Asking(asyncio.Protocol):
    """One connection that asks for one URL."""

    def __init__(self, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._got = b""
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        found = LENGTH.search(self._got, 0, end + 2) if end >= 0 else None
        if found and len(self._got) >= end + 4 + int(found[1]):
            assert self._got.startswith(b"HTTP/1.1 200 "), self._got
            self._got = b""
            assert self._answered is not None
            self._answered.set_result(None)

    async def ask(self) -> None:
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(self._request)
        await self._answered


async def latencies(url: str, count: int) -> list[float]:
    asking = await connect(url)
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await asking.ask()
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PACE)
    asking.transport.close()
    return seconds


async def answered(url: str, connections: int, seconds: float) -> int:
    """Return how many requests are answered in these seconds."""
    until = time.perf_counter() + seconds

    async def ask(asking: Asking) -> int:
        count = 0
        while time.perf_counter() < until:
            await asking.ask()
            count += 1
        return count

    opened = [await connect(url) for _ in range(connections)]
    count = sum(await asyncio.gather(*map(ask, opened)))
    for asking in opened:
        asking.transport.close()
    return count


async def connect(url: str) -> Asking:
    parts = urlsplit(url)
    _, asking = await asyncio.get_running_loop().create_connection(
        lambda: Asking(parts.path), parts.hostname or "", parts.port or 80
    )
    return asking
