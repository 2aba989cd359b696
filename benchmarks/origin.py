"""An image host with little CPU time: a process of its own that serves files from memory.

It supports persistent connections, ETag, Last-Modified and 304. A query changes the bytes of a picture, not
its pixels: `/a.jpg?round=2` is the file with the query inserted as a comment. The service compresses equal
bytes only once; the comment makes every round the same work, and one file 100,000 different images.
"""

import asyncio
import json
import multiprocessing
import re
import socket
import struct
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
IF_NONE_MATCH = re.compile(rb"\r\nif-none-match: *(\S+)", re.IGNORECASE)
#: paths of requests by the benchmarks themselves
COUNTS, CHANGE = "/-/counts", "/-/change/"
PNG_HEAD = 33  # bytes of signature and IHDR; other chunks may follow
RIFF_HEAD = 8
CHUNK = 65536  # bytes of a request read at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    pid: int
    #: one per address
    urls: list[str]

    @property
    def url(self) -> str:
        return self.urls[0]

    def counts(self) -> dict[str, int]:
        """Return the number of responses by status since the last call."""
        counts: dict[str, int] = _get(self.url + COUNTS)
        return counts

    def change(self, path: Path) -> None:
        """Replace this image by another one from now on."""
        _get(self.url + CHANGE + path.name)


@contextmanager
def origin(
    paths: Iterable[Path], *, hosts: Iterable[str] = ("127.0.0.1",), latency: float = 0
) -> Iterator[Origin]:
    """Serve these files by name on every address, each after `latency` seconds."""
    listeners: list[socket.socket] = []
    for host in hosts:
        port = listeners[0].getsockname()[1] if listeners else 0
        listeners.append(socket.create_server((host, port), backlog=1024))
    # spawned, so that it does not inherit the memory of this process
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(list(paths), listeners, latency), daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        urls = ["http://{}:{}".format(*listener.getsockname()) for listener in listeners]
        yield Origin(pid=process.pid, urls=urls)
    finally:
        process.terminate()
        process.join()
        for listener in listeners:
            listener.close()


def _get(url: str) -> Any:
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def _serve(paths: list[Path], listeners: list[socket.socket], latency: float) -> None:
    asyncio.run(_Host(paths, latency).serve(listeners))


class _Host:
    def __init__(self, paths: list[Path], latency: float) -> None:
        self._files = {f"/{path.name}": path.read_bytes() for path in paths}
        self._changes: Counter[str] = Counter()
        self._latency = latency
        self._counts: Counter[int] = Counter()
        self._since = formatdate(time.time(), usegmt=True)

    async def serve(self, listeners: list[socket.socket]) -> None:
        async with asyncio.TaskGroup() as group:
            for listener in listeners:
                group.create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.settimeout(0)
        clients = set()
        while True:
            client, _ = await loop.sock_accept(listener)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.create_task(self._answer_all(client))
            clients.add(task)
            task.add_done_callback(clients.discard)

    async def _answer_all(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            # clients do not pipeline requests, so nothing follows the end of the header
            request = b""
            while piece := await loop.sock_recv(client, CHUNK):
                request += piece
                if not request.endswith(b"\r\n\r\n"):
                    continue
                if self._latency:
                    await asyncio.sleep(self._latency)
                for part in self._answer(request):
                    await loop.sock_sendall(client, part)
                request = b""
        except ConnectionError:
            pass
        finally:
            client.close()

    def _answer(self, request: bytes) -> list[bytes | memoryview]:
        target = request.split(b" ", 2)[1].decode()
        if target.startswith("/-/"):
            return self._control(target)
        path, _, query = target.partition("?")
        data = self._files.get(path)
        if data is None:
            self._counts[404] += 1
            return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
        if changes := self._changes[path]:
            query = f"{query}&changes={changes}"
        etag = f'"{len(data):x}-{zlib.crc32(target.encode()):x}-{changes}"'
        known = IF_NONE_MATCH.search(request)
        if known and known[1].decode() == etag:
            self._counts[304] += 1
            return [f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode()]
        self._counts[200] += 1
        pieces = marked(data, query.encode()) if query else [data]
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {TYPES[Path(path).suffix]}\r\n"
            f"Content-Length: {sum(map(len, pieces))}\r\nETag: {etag}\r\nLast-Modified: {self._since}\r\n\r\n"
        )
        # small parts are sent together with the header; the picture is never copied
        return [head.encode() + bytes(pieces[0]), *pieces[1:]] if query else [head.encode(), *pieces]

    def _control(self, target: str) -> list[bytes | memoryview]:
        body = b"{}"
        if target == COUNTS:
            body = json.dumps(self._counts).encode()
            self._counts.clear()
        else:
            self._changes["/" + target.removeprefix(CHANGE)] += 1
        return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)]


def marked(data: bytes, mark: bytes) -> list[bytes | memoryview]:
    """Return the parts of the picture with a comment inserted; the first part is small."""
    whole = memoryview(data)
    if data.startswith(b"\xff\xd8"):
        return [data[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(mark)) + mark, whole[2:]]
    if data.startswith(b"\x89PNG"):
        body = b"tEXtComment\0" + mark
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return [data[:PNG_HEAD] + chunk, whole[PNG_HEAD:]]
    mark += b" " * (len(mark) % 2)
    chunk = b"mark" + struct.pack("<I", len(mark)) + mark
    size = struct.pack("<I", len(data) - RIFF_HEAD + len(chunk))
    return [b"RIFF" + size, whole[RIFF_HEAD:], chunk]
