"""What is not permitted is not connected to, by whatever way it is reached."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import pytest
from yarl import URL

from origin import Answer, Origin
from resizer.addresses import AddressPolicy, AddressRefused, open_session, parse_url, translate
from resizer.errors import BlockedAddress, ConnectFailure, DnsFailure, ImageError

PUBLIC_ONLY = AddressPolicy(setting="fetch.allow_networks")
LOOPBACK = AddressPolicy((ip_network("127.0.0.0/8"),), setting="fetch.allow_networks")


async def _fault(url: URL | str, policy: AddressPolicy = PUBLIC_ONLY) -> ImageError:
    target = parse_url(str(url))
    async with open_session(policy) as session:
        with pytest.raises((aiohttp.ClientError, OSError)) as caught:
            await session.get(target)
    fault = translate(caught.value, target, policy)
    assert "(" not in str(fault)  # no repr of Python's
    return fault


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "①②⑦.⓪.⓪.①",
        "0.0.0.0",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "localhost",
        "LOCALHOST",
    ],
)
async def test_no_spelling_reaches_loopback(origin: Origin, host: str) -> None:
    fault = await _fault(f"http://{host}:{origin.port}/canary")
    assert isinstance(fault, BlockedAddress)
    assert "fetch.allow_networks" in str(fault)
    assert origin.connections == 0


async def test_ipv6_loopback_is_not_reached() -> None:
    async with Origin(host="::1") as origin:
        assert isinstance(await _fault(origin.url("canary")), BlockedAddress)
        assert isinstance(await _fault(f"http://[0:0::0:1]:{origin.port}/"), BlockedAddress)
        assert origin.connections == 0


Resolve = Callable[[str, list[str]], None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Let a host name resolve to addresses, at the outermost edge."""
    names: dict[str, list[str]] = {}
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        answers = [system(address, port, *rest, **options) for address in names.get(host, [host])]
        return [entry for answer in answers for entry in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names.__setitem__


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["127.0.0.1", "127.0.0.2", "10.0.0.1"],
        ["::1", "127.0.0.1"],
        ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"],
    ],
)
async def test_name_that_leads_inside_is_not_followed(
    origin: Origin, resolve: Resolve, addresses: list[str]
) -> None:
    resolve("rebind.example", addresses)
    fault = await _fault(origin.url("canary", host="rebind.example"))
    assert isinstance(fault, BlockedAddress)
    assert fault.host == "rebind.example"
    assert origin.connections == 0


async def test_permitted_address_among_refused_ones_is_used(origin: Origin, resolve: Resolve) -> None:
    resolve("mixed.example", ["10.0.0.1", "127.0.0.1", "::1"])
    origin.add("a", Answer(body=b"here"))
    async with (
        open_session(LOOPBACK) as session,
        session.get(origin.url("a", host="mixed.example")) as response,
    ):
        assert await response.read() == b"here"


async def test_refusal_is_an_os_error_without_the_address() -> None:
    """Where texts differ, aiohappyeyeballs raises an error of its own instead."""
    assert str(AddressRefused()) == str(AddressRefused())
    assert AddressRefused().errno is None


@pytest.mark.parametrize("code, passing", [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
async def test_unknown_name_is_a_dns_failure(
    monkeypatch: pytest.MonkeyPatch, code: int, *, passing: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(code, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    fault = await _fault("http://nowhere.example/")
    assert isinstance(fault, DnsFailure)
    assert fault.passing is passing


async def test_name_that_idna_cannot_encode_is_a_dns_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        "a..b".encode("idna")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert isinstance(await _fault("http://nowhere.example/"), DnsFailure)


async def test_refused_connection_is_named(unused_tcp_port: int) -> None:
    fault = await _fault(f"http://127.0.0.1:{unused_tcp_port}/?secret", LOOPBACK)
    assert isinstance(fault, ConnectFailure)
    assert fault.reason == "connection refused"


async def test_hanging_lookups_hold_up_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As many as the loop's own executor has threads for, and then some."""
    released = threading.Event()
    begun: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def hang(*_: Any, **__: Any) -> None:
        loop.call_soon_threadsafe(begun.put_nowait, None)
        released.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with open_session(PUBLIC_ONLY) as session:
        lookups = [asyncio.ensure_future(session.get(f"http://h{number}.example/")) for number in range(40)]
        try:
            for _ in lookups:
                await begun.get()
            async with aiofiles.open(tmp_path / "file", "wb") as file:
                await file.write(b"written")
            assert not any(lookup.done() for lookup in lookups)
        finally:
            released.set()
            await asyncio.gather(*lookups, return_exceptions=True)


#: asks for a name whose lookup hangs, gives up, and ends
HANGING_LOOKUP = """
import asyncio, socket, time
import aiohttp
from resizer.addresses import AddressPolicy, open_session

async def main():
    socket.getaddrinfo = lambda *_: time.sleep(600)
    timeout = aiohttp.ClientTimeout(total=0.2)
    async with open_session(AddressPolicy(setting="x"), timeout=timeout) as session:
        try:
            await session.get("http://hangs.example/")
        except TimeoutError:
            print("gave up")

asyncio.run(main())
"""


def test_lookup_that_hangs_does_not_keep_the_process() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", HANGING_LOOKUP], check=True, capture_output=True, text=True, timeout=60
    )
    assert finished.stdout == "gave up\n"


async def test_proxy_variables_are_not_read(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Origin() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.delenv("no_proxy", raising=False)
        async with open_session(LOOPBACK) as session, session.get(origin.add("a", Answer())):
            pass
        assert origin.hits["/a"] == 1
        assert proxy.connections == 0


async def test_cookies_are_not_kept(origin: Origin) -> None:
    url = origin.add("a", Answer(headers={"Set-Cookie": "a=b"}))
    async with open_session(LOOPBACK) as session:
        for _ in range(2):
            async with session.get(url):
                pass
    assert all("cookie" not in seen.headers for seen in origin.requests)


async def test_broken_request_is_not_sent_again_by_itself(origin: Origin) -> None:
    """As aiohttp does with what is idempotent; tries would be miscounted."""
    fault = await _fault(origin.add("a", Answer.silent()), LOOPBACK)
    assert isinstance(fault, ConnectFailure)
    assert origin.hits["/a"] == 1
