"""Every way in which an image host can misbehave ends in an error of its own, and in nothing left behind."""

import asyncio
import errno
import os
import random
import socket
import tracemalloc
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from limits import limits
from origin import Answer, Origin, self_signed
from resizer.config import FetchSettings
from resizer.errors import (
    BlockedAddress,
    ConnectFailure,
    DnsFailure,
    ErrorCode,
    FetchTimeout,
    HttpStatusError,
    ImageError,
    InvalidUrl,
    OutOfResources,
    StorageFailure,
    TlsFailure,
    TooLarge,
    TooManyRedirects,
)
from resizer.fetch.fetcher import Fetcher

LOOPBACK = (ip_network("127.0.0.0/8"),)
IMAGE = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def _spool_is_empty_afterwards(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [*(tmp_path / "spool").iterdir()]


async def fault(folder: Path, url: str, **settings: Any) -> ImageError:
    """Fetch what cannot be fetched; its message shows nothing that it should not."""
    chosen = FetchSettings(**{"allow_networks": LOOPBACK, "retries": 0, **settings})
    async with Fetcher(chosen, limits(chosen), spool=folder / "spool", backoff=0.001) as fetching:
        with pytest.raises(ImageError) as caught:
            async with fetching.fetch(url):
                pytest.fail("it was fetched")
    assert "secret" not in str(caught.value)
    assert "<" not in str(caught.value)
    assert "Error" not in str(caught.value)
    return caught.value


def cut(text: str) -> Answer:
    return Answer(raw=text.encode().replace(b"\n", b"\r\n"), close=True)


@pytest.mark.parametrize(
    "answer, reason",
    [
        (Answer.silent(), "closed without a response"),
        (Answer.rejected(), "connection reset by peer"),
        (Answer.truncated(IMAGE), "incomplete"),
        (Answer(body=IMAGE, length=len(IMAGE) + 1, close=True), "incomplete"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", reset=True), ""),
        (cut("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nabcde\n"), "incomplete"),
        (cut("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nxyz\nabcde\n"), ""),
        (cut("HTTP/1.1 200 OK\nContent-Length: 12\nContent-Encoding: gzip\n\nno gzip data"), "decoded"),
        (cut("HTTP/1.1 200 OK\nContent-Length: 12\nContent-Encoding: deflate\n\nno zlib data"), "decoded"),
        (cut("HTTP/1.1 200 OK\nContent-Length: 3\nContent-Encoding: br\n\nabc"), "not requested"),
        (cut("HTTP/1.1 200 OK\nContent-Length: 3\nContent-Encoding: zstd\n\nabc"), "not requested"),
        (cut("HTTP/1.1 200 OK\nContent-Length: abc\n\n"), "not valid HTTP"),
        (cut("HTTP/1.1 200 OK\nContent-Length: -1\n\n"), "not valid HTTP"),
        (cut("HTTP/1.1 twohundred OK\n\n"), "not valid HTTP"),
        (cut("HTTP/1.1 200 OK\nbad header\n\n"), "not valid HTTP"),
        (Answer(body=IMAGE, length=100, close=True), "not valid HTTP"),
        (cut("SSH-2.0-OpenSSH_9.6\n"), "not valid HTTP"),
        (cut("HTTP/1.1 200 OK\nX: " + "x" * 100_000 + "\n\n"), "not valid HTTP"),
        (cut("HTTP/1.1 200 OK\nX: y\n"), ""),
    ],
)
async def test_broken_transfer_is_a_connect_failure(
    origin: Origin, tmp_path: Path, answer: Answer, reason: str
) -> None:
    found = await fault(tmp_path, origin.add("a", answer) + "?secret")
    assert isinstance(found, ConnectFailure)
    assert reason in found.reason
    assert found.passing
    assert origin.hits["/a"] == 1


async def test_any_bytes_at_all_end_in_an_error_of_ours(origin: Origin, tmp_path: Path) -> None:
    chance = random.Random(7)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nLocation: http://x\r\n\r\n"
    for _ in range(200):
        raw = bytearray(head + b"5\r\nabcde\r\n0\r\n\r\n")
        for _ in range(chance.randint(1, 6)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        url = origin.add("a", Answer(raw=bytes(raw[: chance.randint(0, len(raw))]), close=True))
        chosen = FetchSettings(allow_networks=LOOPBACK, retries=0)
        async with Fetcher(chosen, limits(chosen), spool=tmp_path / "spool") as fetching:
            try:
                async with fetching.fetch(url):
                    pass
            except ImageError as error:
                assert str(error)  # noqa: PT017 - some of the bytes are an answer


async def test_refused_connection(tmp_path: Path, unused_tcp_port: int) -> None:
    found = await fault(tmp_path, f"http://127.0.0.1:{unused_tcp_port}/a?secret")
    assert isinstance(found, ConnectFailure)
    assert str(found) == "the connection to 127.0.0.1 failed: connection refused"


@pytest.mark.parametrize(
    "status, passing",
    [(status, False) for status in (300, 304, 400, 401, 403, 404, 410, 999)]
    + [(status, True) for status in (408, 425, 429, 500, 502, 503, 599)],
)
async def test_status_that_is_no_success(
    origin: Origin, tmp_path: Path, status: int, *, passing: bool
) -> None:
    found = await fault(tmp_path, origin.add("a", Answer(status=status, body=b"sorry")))
    assert isinstance(found, HttpStatusError)
    assert (found.http_status, found.passing) == (status, passing)


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-9/100", "bytes 90-99/100", "bytes 0-9/*", "", "bytes 0-99/ 100", f"bytes 0-{'9' * 5000}/1"],
)
async def test_part_that_nobody_asked_for_is_no_image(
    origin: Origin, tmp_path: Path, content_range: str
) -> None:
    """It may look like one: half of an animation is one too."""
    answer = Answer(status=206, body=bytes(10), headers={"Content-Range": content_range})
    found = await fault(tmp_path, origin.add("a", answer), retries=3)
    assert isinstance(found, HttpStatusError)
    assert (found.http_status, found.attempts) == (206, 1)


async def test_redirect_to_nowhere_is_its_status(origin: Origin, tmp_path: Path) -> None:
    found = await fault(tmp_path, origin.add("a", Answer(status=302)))
    assert isinstance(found, HttpStatusError)
    assert found.http_status == 302


@pytest.mark.parametrize("limit", [0, 1, 5])
async def test_redirect_loop_ends_at_the_limit(origin: Origin, tmp_path: Path, limit: int) -> None:
    found = await fault(tmp_path, origin.add("a", Answer.redirect("/a?secret")), max_redirects=limit)
    assert isinstance(found, TooManyRedirects)
    assert found.limit == limit
    assert origin.hits["/a"] == limit + 1


async def test_invalid_url_is_told_before_anything_is_done(tmp_path: Path) -> None:
    found = await fault(tmp_path, "ftp://user:secret@example.com/a.jpg")
    assert isinstance(found, InvalidUrl)
    assert found.attempts == 0


async def test_blocked_address_names_the_setting(origin: Origin, tmp_path: Path) -> None:
    found = await fault(tmp_path, origin.url("a?secret"), allow_networks=(), retries=3)
    assert isinstance(found, BlockedAddress)
    assert "fetch.allow_networks" in str(found)
    assert found.attempts == 1
    assert origin.connections == 0


async def test_unknown_host_is_a_dns_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    found = await fault(tmp_path, "http://nowhere.example/a?secret")
    assert isinstance(found, DnsFailure)
    assert not found.passing


async def test_certificate_that_nobody_signed_is_not_trusted(tmp_path: Path) -> None:
    async with Origin(tls=self_signed(tmp_path)) as origin:
        found = await fault(tmp_path, origin.add("a", Answer(body=IMAGE)), retries=3)
        assert origin.hits["/a"] == 0
    assert isinstance(found, TlsFailure)
    assert "self-signed" in found.reason
    assert found.attempts == 1


async def test_server_without_tls_is_a_tls_failure(tmp_path: Path) -> None:
    async def shout(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await fault(tmp_path, f"https://127.0.0.1:{port}/a?secret")
    assert isinstance(found, TlsFailure)


@pytest.mark.parametrize("answer", [Answer.hang(), Answer.drip(IMAGE, pace=0.02), Answer.redirect("/drip")])
async def test_try_that_takes_too_long(origin: Origin, tmp_path: Path, answer: Answer) -> None:
    origin.add("drip", Answer.drip(IMAGE, pace=0.02))
    found = await fault(tmp_path, origin.add("a", answer), timeout=0.2)
    assert isinstance(found, FetchTimeout)
    assert (found.setting, found.seconds, found.passing) == ("fetch.timeout", 0.2, True)


async def test_time_is_one_for_all_redirects(origin: Origin, tmp_path: Path) -> None:
    """No hop takes the whole time, all of them together do."""
    url = origin.add("a", Answer(status=302, headers={"Location": "/a"}, delay=0.1))
    found = await fault(tmp_path, url, timeout=0.35, max_redirects=1000)
    assert isinstance(found, FetchTimeout)
    assert origin.hits["/a"] <= 4


async def test_connecting_that_takes_too_long(tmp_path: Path) -> None:
    """A server that accepts and never says a word of TLS."""
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await fault(tmp_path, f"https://127.0.0.1:{port}/a?secret", connect_timeout=0.2)
        await gone.wait()
    assert isinstance(found, FetchTimeout)
    assert (found.setting, found.seconds) == ("fetch.connect_timeout", 0.2)


async def test_claimed_size_over_the_limit_is_not_read(origin: Origin, tmp_path: Path) -> None:
    url = origin.add("a", Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"))
    found = await fault(tmp_path, url, max_size=1000)
    assert isinstance(found, TooLarge)
    assert not found.passing


@pytest.mark.parametrize(
    "answer",
    [
        Answer.without_end(),
        Answer.bomb(1_000_001),
        Answer(body=bytes(1_000_001), close=True),
        Answer(
            raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            body=b"40\r\n" + bytes(64) + b"\r\n",
            endless=True,
        ),
    ],
)
async def test_size_over_the_limit_is_told_while_it_arrives(
    origin: Origin, tmp_path: Path, answer: Answer
) -> None:
    found = await fault(tmp_path, origin.add("a", answer), max_size=1_000_000, retries=3)
    assert isinstance(found, TooLarge)
    assert found.attempts == 1


async def test_size_at_the_limit_is_taken(origin: Origin, tmp_path: Path) -> None:
    chosen = FetchSettings(allow_networks=LOOPBACK, max_size=1_000_000)
    async with Fetcher(chosen, limits(chosen), spool=tmp_path / "spool") as fetching:
        for answer in (Answer(body=bytes(1_000_000)), Answer.bomb(1_000_000)):
            async with fetching.fetch(origin.add("a", answer)) as fetched:
                assert fetched.size == 1_000_000


async def test_bomb_does_not_burst_in_memory(origin: Origin, tmp_path: Path) -> None:
    """100 MB from 100 KB, which is one network chunk: it is not expanded at once."""
    url = origin.add("a", Answer.bomb(100_000_000))
    tracemalloc.start()
    try:
        assert isinstance(await fault(tmp_path, url, max_size=90_000_000), TooLarge)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space"), OSError(errno.EIO, "I/O error")])
async def test_full_disk_is_a_storage_failure(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    (tmp_path / "spool").mkdir()
    url = origin.add("a", Answer(body=IMAGE))

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(os, "open", refuse)
    found = await fault(tmp_path, url, retries=3)
    assert isinstance(found, StorageFailure)
    assert found.attempts == 1


LACKING = [errno.EMFILE, errno.ENFILE, errno.ENOMEM]


@pytest.mark.parametrize("number", LACKING)
async def test_what_this_machine_lacks_is_waited_for_and_is_no_try(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("resizer.fetch.fetcher.SHORTAGE_PAUSE", 0.001)
    url = origin.add("a", Answer(body=IMAGE))
    system, refused = os.open, iter(range(5))

    def refuse(*arguments: Any, **options: Any) -> int:
        if next(refused, None) is None:
            return system(*arguments, **options)
        raise OSError(number, os.strerror(number))

    settings = FetchSettings(allow_networks=LOOPBACK, retries=0)
    async with Fetcher(settings, limits(settings), spool=tmp_path / "spool") as fetching:
        with monkeypatch.context() as lacking:
            lacking.setattr(os, "open", refuse)
            async with fetching.fetch(url) as fetched:
                assert fetched.path.read_bytes() == IMAGE
                assert fetched.attempts == 1


@pytest.mark.parametrize("number", LACKING)
async def test_what_this_machine_lacks_for_long_is_not_called_a_fault_of_the_host(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("resizer.fetch.fetcher.SHORTAGE_PAUSE", 0.001)
    url = origin.add("a", Answer(body=IMAGE))
    settings = FetchSettings(allow_networks=LOOPBACK, retries=0, timeout=0.2)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    async with Fetcher(settings, limits(settings), spool=tmp_path / "spool") as fetching:
        monkeypatch.setattr(socket, "socket", refuse)
        with pytest.raises(OutOfResources, match=r"limit of its machine: .*; (raise|free)") as caught:
            async with fetching.fetch(url):
                pytest.fail("it was fetched")
        assert caught.value.code is ErrorCode.STORAGE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("size", [100, 100_000, 1_000_000])
async def test_disk_that_fills_up_is_a_storage_failure(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "spool").mkdir()
    url = origin.add("a", Answer(body=bytes(size)))
    system = os.open
    monkeypatch.setattr(os, "open", lambda _, flags, mode=0o666: system("/dev/full", flags, mode))
    found = await fault(tmp_path, url)
    assert isinstance(found, StorageFailure)
    assert "no space left" in found.reason
