"""No connection reaches an address that is not permitted, and each failure has its error."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import pytest
from yarl import URL

from inward import LOOPBACK_SPELLINGS, NO_ADDRESS, SPECIAL, Canary, Names, edges
from origin import Answer, Origin
from resizer.errors import BlockedAddress, ConnectFailure, DnsFailure, ImageError, InvalidUrl, OutOfResources
from resizer.fetch.addresses import AddressPolicy, AddressRefused
from resizer.fetch.resolver import LOOKUPS
from resizer.fetch.session import open_session, translate
from resizer.fetch.url_parser import parse_url

PUBLIC_ONLY = AddressPolicy(setting="fetch.allow_networks")
LOOPBACK = AddressPolicy((ip_network("127.0.0.0/8"),), setting="fetch.allow_networks")


async def _fault(url: URL | str, policy: AddressPolicy = PUBLIC_ONLY) -> ImageError:
    target = parse_url(str(url))
    async with open_session(policy) as session:
        with pytest.raises((aiohttp.ClientError, OSError)) as caught:
            await session.get(target)
    fault = translate(caught.value, target, policy)
    assert "(" not in str(fault)  # no Python repr
    return fault


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with Canary() as listening:
        yield listening
        assert listening.reached == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_spelling_reaches_loopback(canary: Canary, names: Names, scheme: str) -> None:
    for host in LOOPBACK_SPELLINGS:
        fault = await _fault(f"{scheme}://{host}:{canary.port}/canary")
        assert isinstance(fault, BlockedAddress), host
        assert "fetch.allow_networks" in str(fault)
    assert "printer.localhost" in names.asked
    assert canary.reached == 0


async def test_invalid_hosts_reach_nothing(canary: Canary, names: Names) -> None:
    for host in NO_ADDRESS:
        try:
            fault = await _fault(f"http://{host}:{canary.port}/canary")
        except InvalidUrl:
            continue
        assert isinstance(fault, (BlockedAddress, DnsFailure, InvalidUrl)), host
    assert names.asked
    assert canary.reached == 0


async def test_ipv6_loopback_is_not_reached() -> None:
    async with Origin(host="::1") as origin:
        assert isinstance(await _fault(origin.url("canary")), BlockedAddress)
        assert isinstance(await _fault(f"http://[0:0::0:1]:{origin.port}/"), BlockedAddress)
        assert origin.connections == 0


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Resolve host names to addresses of the test."""
    world = Names()
    monkeypatch.setattr(socket, "getaddrinfo", world.getaddrinfo)
    return world


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["127.0.0.1", "127.0.0.2", "10.0.0.1"],
        ["::1", "127.0.0.1"],
        ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"],
    ],
)
async def test_name_of_a_private_address_is_blocked(
    origin: Origin, names: Names, addresses: list[str]
) -> None:
    names.add("rebind.example", addresses)
    fault = await _fault(origin.url("canary", host="rebind.example"))
    assert isinstance(fault, BlockedAddress)
    assert fault.host == "rebind.example"
    assert origin.connections == 0


async def test_no_name_reaches_a_special_range(names: Names) -> None:
    """Each separately, so that none is hidden by another."""
    async with open_session(PUBLIC_ONLY) as session:
        for number, network in enumerate(SPECIAL):
            for place, address in enumerate(edges(network)):
                url = parse_url(f"http://{names.add(f'h{number}-{place}.example', [address])}/")
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.get(url)
                assert isinstance(translate(caught.value, url, PUBLIC_ONLY), BlockedAddress), address


async def test_name_rebound_to_a_private_address_is_blocked(names: Names) -> None:
    """DNS rebinding at the second lookup. One loopback address represents the public ones."""
    policy = AddressPolicy((ip_network("127.0.0.2/32"),), setting="fetch.allow_networks")
    async with Origin(host="127.0.0.2") as origin, Canary(port=origin.port) as canary:
        name = names.add("rebind.example", ["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1", "::1"])
        origin.add("a", Answer(close=True))
        url = parse_url(origin.url("a", host=name))
        async with open_session(policy) as session:
            async with session.get(url) as response:
                assert response.status == 200
            for _ in range(2):
                assert isinstance(session.connector, aiohttp.TCPConnector)
                session.connector.clear_dns_cache()
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.get(url)
                assert isinstance(translate(caught.value, url, policy), BlockedAddress)
        assert names.asked.count(name) == 3
        assert canary.reached == 0


async def test_permitted_address_among_refused_ones_is_used(origin: Origin, names: Names) -> None:
    names.add("mixed.example", ["10.0.0.1", "127.0.0.1", "::1"])
    origin.add("a", Answer(body=b"here"))
    async with (
        open_session(LOOPBACK) as session,
        session.get(origin.url("a", host="mixed.example")) as response,
    ):
        assert await response.read() == b"here"


async def test_refusal_is_an_os_error_without_the_address() -> None:
    """If the texts differ, aiohappyeyeballs raises its own error instead."""
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


async def test_failed_lookup_without_a_free_descriptor_is_out_of_resources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without one the system can neither read its own files nor query a server."""

    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no answer")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(os, "open", refuse)
    fault = await _fault("http://nowhere.example/")
    assert isinstance(fault, OutOfResources)
    assert "ulimit -n" in str(fault)


def _refuse(*_: Any, **__: Any) -> None:
    raise RuntimeError("can't start new thread")


def _never_begin(*_: Any, **__: Any) -> None:
    """Start a thread that has no memory to run in."""


@pytest.mark.parametrize("start", [_refuse, _never_begin])
async def test_lookup_without_a_thread_is_out_of_resources_and_releases_its_slot(
    start: Callable[..., None], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.add("a", Answer(body=b"here"))
    url = parse_url("http://localhost:1/")
    async with open_session(LOOPBACK) as session:
        with monkeypatch.context() as lacking:
            lacking.setattr("resizer.fetch.resolver.THREAD_BEGINS", 0.001)
            lacking.setattr("_thread.start_new_thread", start)
            for _ in range(LOOKUPS + 1):
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.get(url)
                assert isinstance(translate(caught.value, url, LOOPBACK), OutOfResources)
        async with session.get(origin.url("a", host="localhost")) as response:
            assert await response.read() == b"here"


async def test_name_that_idna_cannot_encode_is_a_dns_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        "a..b".encode("idna")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert isinstance(await _fault("http://nowhere.example/"), DnsFailure)


async def test_refused_connection_is_named(unused_tcp_port: int) -> None:
    fault = await _fault(f"http://127.0.0.1:{unused_tcp_port}/?secret", LOOPBACK)
    assert isinstance(fault, ConnectFailure)
    assert fault.reason == "connection refused"


async def test_hanging_lookups_do_not_delay_file_access(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """More lookups than the default executor has threads."""
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


#: resolves a name whose lookup hangs, times out, and exits
HANGING_LOOKUP = """
import asyncio, socket, time
import aiohttp
from resizer.fetch.addresses import AddressPolicy
from resizer.fetch.session import open_session

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


def test_hanging_lookup_does_not_delay_the_exit() -> None:
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


async def test_broken_request_is_not_repeated_automatically(origin: Origin) -> None:
    """aiohttp would repeat an idempotent request, and attempts would be miscounted."""
    fault = await _fault(origin.add("a", Answer.silent()), LOOPBACK)
    assert isinstance(fault, ConnectFailure)
    assert origin.hits["/a"] == 1
