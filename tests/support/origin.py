"""An image host on loopback that behaves, or misbehaves, as the test specifies."""

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHUNK = 64 * 1024
#: statuses without a body
BODILESS = frozenset({204, 304})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The response to one request; the default is an empty 200 that keeps the connection open."""

    body: bytes = b""
    status: int = 200
    content_type: str = "image/jpeg"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Content-Length sent instead of the true one
    length: int | None = None
    #: bytes sent instead of status line, headers and body; an endless or a paced body follows
    raw: bytes | None = None
    #: nothing is sent until it is set
    gate: asyncio.Event | None = None
    #: seconds before the response
    delay: float = 0.0
    #: seconds between bytes of the body; 0 sends it at once
    pace: float = 0.0
    #: whether the body is repeated until the client disconnects
    endless: bool = False
    #: seconds between two repetitions, so that many endless hosts share the loop
    rest: float = 0.0
    #: whether the connection is closed after the response
    close: bool = False
    #: whether the connection is reset (RST) after the response
    reset: bool = False
    #: whether a request with a matching validator (ETag, Last-Modified) gets 304
    conditional: bool = False

    @classmethod
    def redirect(cls, location: str, status: int = 302) -> Self:
        return cls(status=status, headers={"Location": location})

    @classmethod
    def hang(cls) -> Self:
        """Accept the request and never respond."""
        return cls(gate=asyncio.Event())

    @classmethod
    def drip(cls, body: bytes, *, pace: float = 1.0) -> Self:
        """Send the body a byte at a time."""
        return cls(body=body, pace=pace)

    @classmethod
    def without_end(cls, body: bytes = bytes(CHUNK)) -> Self:
        return cls(body=body, endless=True, close=True)

    @classmethod
    def truncated(cls, body: bytes) -> Self:
        """Announce the whole body and close after half of it."""
        return cls(body=body[: len(body) // 2], length=len(body), close=True)

    @classmethod
    def silent(cls) -> Self:
        """Close the connection without a response."""
        return cls(raw=b"", close=True)

    @classmethod
    def rejected(cls) -> Self:
        """Reset the connection without a response."""
        return cls(raw=b"", reset=True)

    @classmethod
    def bomb(cls, size: int) -> Self:
        """Respond with this many bytes, a thousand times smaller on the wire."""
        packer = zlib.compressobj(wbits=31)  # gzip
        pieces = [packer.compress(bytes(min(CHUNK, size - start))) for start in range(0, size, CHUNK)]
        return cls(body=b"".join([*pieces, packer.flush()]), headers={"Content-Encoding": "gzip"})

    @classmethod
    def html(cls) -> Self:
        """Respond with an HTML page declared as a JPEG."""
        return cls(body=b"<!doctype html><title>Sorry</title>")

    def head(self) -> bytes:
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        headers = {"Content-Type": self.content_type, **self.headers}
        if not self.endless and self.status not in BODILESS:
            headers["Content-Length"] = str(len(self.body) if self.length is None else self.length)
        if self.close:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request as received."""

    #: raw request target with the query
    target: str
    #: names in lower case
    headers: Mapping[str, str]
    #: loop time
    at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Origin:
    """A server within `async with`: `add` sets the response of a path, the rest is what it observed.

    Other paths get 404. Responses that hang end when the origin closes.
    """

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = 0
        self.requests: list[Seen] = []
        #: requests by path
        self.hits: Counter[str] = Counter()
        #: highest numbers of open connections and of concurrent requests
        self.most_connections = 0
        self.most_at_once = 0
        #: number of accepted connections
        self.connections = 0
        self._tls = tls
        self._answers: dict[str, list[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._arrival = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str, *, host: str | None = None) -> str:
        name = host or self.host
        shown = f"[{name}]" if ":" in name else name
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{shown}:{self.port}/{path.removeprefix('/')}"

    def add(self, path: str, *answers: Answer) -> str:
        """Set the responses of a path in order, the last for all further requests; returns its URL."""
        name = "/" + path.removeprefix("/")
        self._answers[name] = list(answers)
        return self.url(name)

    def answers(self, path: str) -> list[Answer]:
        """Return the responses of a path."""
        return self._answers[path]

    async def arrived(self, path: str, times: int = 1) -> None:
        """Wait until the path was requested this often."""
        name = "/" + path.removeprefix("/")
        async with self._arrival:
            await self._arrival.wait_for(lambda: self.hits[name] >= times)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.most_connections = max(self.most_connections, len(self._tasks))
        try:
            # the client may disconnect, and the origin may close, at any time
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Respond to one request; returns whether the connection stays open."""
        seen = _parse(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(int(seen.headers.get("content-length", "0")))
        async with self._under_way_counted():
            async with self._arrival:
                self.requests.append(seen)
                self.hits[seen.path] += 1
                self._arrival.notify_all()
            answer = _condition(self._answer(seen.path), seen)
            if answer.gate:
                await _first(answer.gate.wait(), reader)
            if answer.delay:
                await _first(asyncio.sleep(answer.delay), reader)
            await _send(answer, writer)
        if answer.reset:
            # otherwise closing ends the connection cleanly
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()
        return not (answer.close or answer.reset)

    def _answer(self, path: str) -> Answer:
        answers = self._answers.get(path)
        if not answers:
            return Answer(status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @contextlib.asynccontextmanager
    async def _under_way_counted(self) -> AsyncIterator[None]:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield
        finally:
            self._under_way -= 1


def _condition(answer: Answer, seen: Seen) -> Answer:
    etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
    known, since = seen.headers.get("if-none-match"), seen.headers.get("if-modified-since")
    same = known == etag if known else since is not None and since == modified
    return replace(answer, body=b"", status=304) if answer.conditional and same else answer


async def _send(answer: Answer, writer: asyncio.StreamWriter) -> None:
    writer.write(answer.head() if answer.raw is None else answer.raw)
    step = 1 if answer.pace else CHUNK
    endless = answer.endless or bool(answer.pace)
    bodiless = answer.status in BODILESS or (answer.raw is not None and not endless)
    while not bodiless:
        for start in range(0, len(answer.body), step):
            writer.write(answer.body[start : start + step])
            await writer.drain()
            if answer.pace:
                await asyncio.sleep(answer.pace)
        bodiless = not answer.endless
        if answer.rest:
            await asyncio.sleep(answer.rest)
    await writer.drain()


async def _first(waited: Coroutine[Any, Any, object], reader: asyncio.StreamReader) -> None:
    """Wait, but no longer than the client stays connected."""
    waiting, leaving = asyncio.ensure_future(waited), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ConnectionResetError
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)


def _parse(head: bytes) -> Seen:
    line, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Seen(target=line.split(" ")[1], headers=headers, at=asyncio.get_running_loop().time())


def self_signed(folder: Path, address: str = "127.0.0.1") -> ssl.SSLContext:
    """Create an untrusted certificate for `Origin(tls=…)`, as certificate.pem in the folder."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = ["-subj", f"/CN={address}", "-addext", f"subjectAltName=IP:{address}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *kind.split(), *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
