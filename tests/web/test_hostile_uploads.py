"""Uploads made to break the service: each is answered by a problem, and leaves nothing behind."""

import asyncio
import gzip
import itertools
import re
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from test_upload import requests_made

from process import server
from resizer.app import create_app
from service import HEADER, catalogue, settings_for
from wire import Reply, Wire, errors_in, listening

CSV = catalogue([("One", "nonsense://example.com/a.jpg")])
LIMIT = 100_000
#: bytes; what a client offers that never ends by itself
ENDLESS = 20_000_000
KILOBYTE = b"x" * 1000
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
OPTION = b'--b\r\nContent-Disposition: form-data; name="quality"\r\n\r\n'
END = b"\r\n--b--\r\n"
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
FORM = "multipart/form-data; boundary=b"


class Shared(NamedTuple):
    port: int
    folder: Path


@asynccontextmanager
async def service(folder: Path, **limits: Any) -> AsyncIterator[int]:
    app = create_app(settings_for(folder / "data", server={"max_upload_size": LIMIT, **limits}))
    async with listening(app, **limits) as port:
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    """One service for all that is refused, as a service would meet it."""
    folder = tmp_path_factory.mktemp("shared")
    async with service(folder) as port:
        yield Shared(port, folder)


def head(kind: str, length: int | None = None, *more: str) -> bytes:
    """The header of an upload; without a length its body comes in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = ["POST /upload HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", framing, *more, "", ""]
    return "\r\n".join(lines).encode()


def chunked(pieces: Iterable[bytes]) -> Iterable[bytes]:
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def endlessly(piece: bytes, *, first: bytes = b"", size: int = ENDLESS) -> Iterable[bytes]:
    block = piece * (65_536 // len(piece) + 1)
    return itertools.chain([first] if first else [], itertools.repeat(block, size // len(block)))


async def offer(port: int, pieces: Iterable[bytes]) -> tuple[Reply, int]:
    """Send until there is an answer; returns it and how much was sent by then."""
    async with await Wire.to(port) as wire:
        reply = asyncio.create_task(wire.reply())
        sent = 0
        for piece in pieces:
            if reply.done() or not await wire.send(piece):
                break
            sent += len(piece)
        return await reply, sent


def spool_is_empty(folder: Path) -> bool:
    return not list((folder / "data" / "spool").iterdir())


FORMS = {
    "preamble without end": (endlessly(KILOBYTE + b"\r\n"), 413),
    "preamble of one line": (endlessly(b"x"), 400),
    "header of a part without end": (endlessly(b"X: y\r\n", first=b"--b\r\n"), 400),
    "header of a part of a megabyte": ([b"--b\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n"], 400),
    "file without end": (endlessly(KILOBYTE + b"\r\n", first=FILE), 413),
    "file full of what is nearly a boundary": (endlessly(b"\r\n--", first=FILE), 413),
    "option without end": (endlessly(b"5", first=OPTION), 400),
    "thousand parts": ([*(OPTION + b"50\r\n" for _ in range(1000)), FILE + CSV + END], 400),
    "two files": ([FILE + CSV + b"\r\n" + FILE + CSV + END], 400),
    "a form in the form": ([b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n"], 400),
    "cut off in a part's header": ([FILE[:30]], 400),
    "cut off in the last boundary": ([FILE + CSV + END[:-4]], 400),
    "no file": ([OPTION + b"50" + END], 400),
}


@IN_ONE_LOOP
@pytest.mark.parametrize("case", FORMS)
async def test_form_that_is_none_is_refused(
    case: str, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    before = requests_made(shared.folder)
    pieces, status = FORMS[case]
    reply, sent = await offer(shared.port, itertools.chain([head(FORM)], chunked(pieces)))
    reply.problem(status)
    # what buffers hold, and a form's megabyte of overhead; not the rest
    assert sent < ENDLESS
    assert requests_made(shared.folder) == before
    assert spool_is_empty(shared.folder)
    assert errors_in(caplog.records) == []


@IN_ONE_LOOP
async def test_boundary_without_end_is_refused(shared: Shared) -> None:
    kind = f"multipart/form-data; boundary={'b' * 1000}"
    reply, _ = await offer(shared.port, itertools.chain([head(kind)], chunked([FILE])))
    reply.problem(400)


async def test_form_with_an_epilogue_without_end_is_taken_and_the_connection_closed(tmp_path: Path) -> None:
    """What follows the last boundary means nothing (RFC 2046)."""
    async with service(tmp_path, request_timeout=1) as port, await Wire.to(port) as wire:
        answer = asyncio.create_task(wire.reply())
        for piece in itertools.chain(
            [head(FORM)], chunked(endlessly(KILOBYTE + b"\r\n", first=FILE + CSV + END))
        ):
            if answer.done() or not await wire.send(piece):
                break
        reply = await answer
        assert reply.status == 202
        assert reply.headers["connection"] == "close"
        assert await wire.closed() == b""


ENCODED = {
    "gzip": ("gzip", gzip.compress(CSV), 202),
    "gzip in two members": ("gzip", gzip.compress(CSV[:50]) + gzip.compress(CSV[50:]), 202),
    "gzip with padding": ("gzip", gzip.compress(CSV) + bytes(500), 202),
    "deflate": ("deflate", zlib.compress(CSV), 202),
    "deflate without its header": ("deflate", zlib.compress(CSV)[2:-4], 202),
    "identity": ("identity", CSV, 202),
    "gzip cut off": ("gzip", gzip.compress(CSV)[:-9], 400),
    "gzip without its checksum": ("gzip", gzip.compress(CSV)[:-4], 400),
    "gzip with a wrong checksum": ("gzip", gzip.compress(CSV)[:-8] + bytes(8), 400),
    "gzip and then nonsense": ("gzip", gzip.compress(CSV) + b"nonsense", 400),
    "deflate cut off": ("deflate", zlib.compress(CSV)[:-9], 400),
    "gzip of nothing": ("gzip", b"", 422),
    "bomb": ("gzip", gzip.compress(bytes(20_000_000)), 413),
    "bomb of nothing": ("gzip", gzip.compress(b"") * 10_000, 413),
    "unknown": ("x-unknown", CSV, 415),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(CSV)), 415),
    "brotli": ("br", CSV, 415),
}


@IN_ONE_LOOP
@pytest.mark.parametrize("case", ENCODED)
async def test_encoded_csv_is_read_or_refused(case: str, shared: Shared) -> None:
    encoding, body, status = ENCODED[case]
    await check_encoded("text/csv", encoding, body, status, shared)


@IN_ONE_LOOP
@pytest.mark.parametrize(
    "encoding, body, status",
    [
        pytest.param("gzip", gzip.compress(FILE + CSV + END), 202, id="gzip"),
        pytest.param("deflate", zlib.compress(FILE + CSV + END), 202, id="deflate"),
        pytest.param("gzip", gzip.compress(FILE + CSV + END)[:-9], 400, id="cut off"),
        pytest.param("gzip", gzip.compress(FILE + bytes(20_000_000)), 413, id="bomb"),
        pytest.param("x-unknown", FILE + CSV + END, 415, id="unknown"),
    ],
)
async def test_encoded_form_is_read_or_refused(
    encoding: str, body: bytes, status: int, shared: Shared
) -> None:
    await check_encoded(FORM, encoding, body, status, shared)


async def check_encoded(kind: str, encoding: str, body: bytes, status: int, shared: Shared) -> None:
    before = requests_made(shared.folder)
    reply, _ = await offer(shared.port, [head(kind, len(body), f"Content-Encoding: {encoding}"), body])
    if status == 202:
        assert reply.status == status, reply.body
    else:
        reply.problem(status)
    assert requests_made(shared.folder) - before == (status == 202)
    assert spool_is_empty(shared.folder)
    assert ("accept-encoding" in reply.headers) == (status == 415)


MESSAGES = {
    "header of a megabyte": [b"POST /upload HTTP/1.1\r\nHost: localhost\r\nX: ", *[KILOBYTE] * 1000],
    "path of a megabyte": [b"GET /", *[KILOBYTE] * 1000],
    "thousand headers": [b"POST /upload HTTP/1.1\r\nHost: localhost\r\n", *[b"X: y\r\n"] * 1000],
    "length and chunks": [head("text/csv", None, "Content-Length: 5"), b"0\r\n\r\n"],
    "two lengths": [head("text/csv", 5, "Content-Length: 6"), b"xxxxxx"],
    "length below zero": [head("text/csv", -5)],
    "chunk of a size that is none": [head("text/csv"), b"many\r\nx\r\n0\r\n\r\n"],
    "chunk larger than it says": [head("text/csv"), b"2\r\nxxxxxx\r\n0\r\n\r\n"],
}


@IN_ONE_LOOP
@pytest.mark.parametrize("case", MESSAGES)
async def test_message_that_is_no_request_is_refused(
    case: str, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    before = requests_made(shared.folder)
    reply, _ = await offer(shared.port, MESSAGES[case])
    reply.problem(400)
    assert requests_made(shared.folder) == before
    assert spool_is_empty(shared.folder)
    assert errors_in(caplog.records) == []


@IN_ONE_LOOP
async def test_upload_that_says_its_size_is_refused_before_any_of_it_is_read(shared: Shared) -> None:
    async with await Wire.to(shared.port) as wire:
        await wire.send(head("text/csv", LIMIT + 1))
        (await wire.reply()).problem(413)
    assert spool_is_empty(shared.folder)


#: bytes; of which half may be an upload
OFFERED = 120_000_000
#: kilobytes that an upload may add to the most that the process ever held: while it is received, and while
#: its rows are read, of which one may have four million characters
ROOM = {413: 40_000, 422: 160_000}


def one_line() -> Iterable[bytes]:
    return itertools.chain([f"{HEADER}\n1,One,".encode()], endlessly(b"x", size=50_000_000))


async def test_memory_stays_bounded_whatever_is_offered(tmp_path: Path) -> None:
    cell = b"http://h/" + b"x" * 10_000_000
    row = f"{HEADER}\n1,One,".encode()
    lines = KILOBYTE + b"\r\n"
    # a gigabyte in a megabyte
    bomb = gzip.compress(bytes(10_000_000)) * 100
    offers: list[tuple[str, bytes, Iterable[bytes], int]] = [
        ("larger than the limit", head("text/csv"), endlessly(lines, size=OFFERED), 413),
        ("larger, as a form", head(FORM), endlessly(lines, first=FILE, size=OFFERED), 413),
        ("preamble without end", head(FORM), endlessly(lines, size=OFFERED), 413),
        ("bomb", head("text/csv", None, "Content-Encoding: gzip"), [bomb], 413),
        ("one endless line", head("text/csv"), one_line(), 422),
        ("cell of 10 MB", head("text/csv"), [row, cell, b"\n"], 422),
        ("quoted cell of 10 MB", head("text/csv"), [row, b'"', cell, b'"\n'], 422),
    ]
    async with server(tmp_path, RESIZER_SERVER__MAX_UPLOAD_SIZE=str(OFFERED // 2)) as process:
        port = int((await process.url()).rpartition(":")[2])
        await offer(port, [head("text/csv", len(CSV)), CSV])  # whatever is loaded on first use is there
        before = most_held(process.process.pid)
        for case, start, pieces, status in offers:
            reply, _ = await offer(port, itertools.chain([start], chunked(pieces)))
            found = reply.problem(status)
            grown = most_held(process.process.pid) - before
            assert grown < ROOM[status], f"{grown} kB more after {case}"
            if status == 422:
                assert "characters" in found["errors"][0]["message"]
        assert not list((tmp_path / "spool").iterdir())
    assert "Traceback" not in "\n".join(process.log)


def most_held(pid: int) -> int:
    """Kilobytes of memory that a process held at most."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])
