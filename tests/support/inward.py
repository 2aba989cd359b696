"""Hosts with private addresses, in every spelling, and a canary that must not be reached."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from types import TracebackType
from typing import Any, Self

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IANA's registries of special-purpose addresses, multicast, and formerly local or private ranges
SPECIAL: tuple[Network, ...] = tuple(
    map(
        ip_network,
        """
        0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 169.254.169.254/32
        172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/31
        192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16
        192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 233.252.0.0/24
        240.0.0.0/4 255.255.255.255/32
        ::/128 ::1/128 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001:1::/32 2001:1::1/128
        2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28
        2001:30::/28 2001:100::/24 2001:db8::/32 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7
        fd00:ec2::254/128 fe80::/10 fec0::/10 ff00::/8
        """.split(),  # noqa: SIM905 - a table reads better without quotes
    )
)

#: this machine, as text between `http://` and the port; each is parsed, and refused as an address:
#: decimal, octal, hexadecimal, short; with a trailing dot; in full-width and other digits, letters and dots;
#: in mixed case; behind user info; IPv6; and IPv4 in it, mapped, compatible, translated, NAT64, 6to4, Teredo
LOOPBACK_SPELLINGS = tuple(
    """
    127.0.0.1 127.255.255.254 2130706433 017700000001 0x7f000001 0X7F000001 127.1 127.0.1 0x7f.1
    0177.1 0177.0.0.01 0x7f.0.0.1 127.0x0.0.1 00000177.0.0.1 0 0.0.0.0 00 0x0
    127.0.0.1. 127.1. 0x7f000001. 0. localhost.
    １２７.０.０.１ １２７．０．０．１ ①②⑦.⓪.⓪.① 𝟭𝟮𝟳.𝟬.𝟬.𝟭 127．0．0．1 127。0。0。1 127｡0｡0｡1
    12７.1 0ｘ7f.1 127.0.0.1。 ｌocalhost ℓocalhost
    localhost LocalHost LOCALHOST printer.localhost
    u@127.0.0.1 u:p@127.1 1.1.1.1@127.0.0.1 1.1.1.1:80@127.0.0.1 a@b@127.0.0.1 1.1.1.1%20@127.1
    example.com%2f@127.0.0.1 u@[::1] 1.1.1.1@localhost
    [::1] [::0001] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0.0.0.1] [::]
    [::ffff:127.0.0.1] [::FFFF:7F00:1] [0:0:0:0:0:ffff:7f00:0001] [::ffff:0.0.0.0]
    [::127.0.0.1] [::7f00:1] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:FF9B::7f00:1]
    [64:ff9b:1::127.0.0.1] [64:ff9b:1:7f00:0:100::] [2002:7f00:1::] [2002:7f00:1::1]
    [2001:0:7f00:1::] [2001:0:808:808::80ff:fffe]
    """.split()  # noqa: SIM905 - a table reads better without quotes
)
#: similar texts that are not hosts, do not resolve, or have a zone; any failure will do
NO_ADDRESS = tuple(
    """
    %31%32%37.0.0.1 127.0.0.1%00 127\u00ad.0.0.1 127.0.0.1\u200b 127.0.0.1%2f 256.0.0.1 4294967296
    127.0.0.0.1 127..1 .127.0.0.1 +127.0.0.1 127.0.0.-1 0b1111111.0.0.1 0x 127.0.0.0x 0o177.1
    [127.0.0.1] [::1]. [：：1] [::ffff:0x7f.1] [v1.fe80::1] [v1.127] ::1 [] [::1%2f]
    127.0.0.1:80 127.0.0.1\\@1.1.1.1 1.1.1.1\\@127.0.0.1 1.1.1.1%40127.0.0.1 127.0.0.1%2523
    [::1%25lo] [::1%lo] [fe80::1%25lo] [fe80::1%lo] [fe80::1%1] [fe80::1%25] [::ffff:127.0.0.1%lo]
    """.split()  # noqa: SIM905 - a table reads better without quotes
)


def edges(network: Network) -> list[Address]:
    """Return the first, a middle and the last address."""
    return list(dict.fromkeys((network[0], network[network.num_addresses // 2], network[-1])))


def embedded(address: IPv4Address) -> Iterator[IPv6Address]:
    """Return every IPv6 address that embeds an IPv4 address."""
    number = int(address)
    public = 0x08080808
    yield IPv6Address(0xFFFF << 32 | number)  # mapped
    yield IPv6Address(number)  # compatible
    yield IPv6Address(0xFFFF << 48 | number)  # translated
    yield IPv6Address(0x64FF9B << 96 | number)  # NAT64
    yield IPv6Address(0x64FF9B0001 << 80 | number)  # its local prefix
    yield IPv6Address(0x2002 << 112 | number << 80 | 1)  # 6to4
    yield IPv6Address(0x20010000 << 96 | number << 64 | ~public & 0xFFFFFFFF)  # Teredo's server
    yield IPv6Address(0x20010000 << 96 | public << 64 | ~number & 0xFFFFFFFF)  # and client


class Canary:
    """Listens on loopback within `async with`, and counts connections."""

    def __init__(
        self, *, port: int = 0, hosts: Sequence[str] = ("127.0.0.1", "127.255.255.254", "::1")
    ) -> None:
        self.port = port
        self.reached = 0
        self._hosts = hosts
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        for host in self._hosts:
            server = await asyncio.start_server(self._accept, host, self.port)
            await self._stack.enter_async_context(server)
            self.port = server.sockets[0].getsockname()[1]
        # proves that the canary counts
        for host in (*self._hosts, "0.0.0.0"):
            _, writer = await asyncio.open_connection(host, self.port)
            writer.close()
        async with asyncio.timeout(30):
            while self.reached <= len(self._hosts):  # noqa: ASYNC110 - no event counts
                await asyncio.sleep(0.001)
        self.reached = 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.reached += 1
        writer.close()


class Names:
    """A resolver that replaces the system's: each look-up returns the next of a name's answers.

    It also knows localhost, names that end in it, and addresses; other names do not resolve.
    """

    def __init__(self) -> None:
        self._names: dict[str, list[list[str]]] = {}
        self._system = socket.getaddrinfo
        #: lookups by name
        self.asked: list[str] = []

    def add(self, name: str, *answers: Iterable[object]) -> str:
        self._names[name] = [[str(address) for address in answer] for answer in answers]
        return name

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        self.asked.append(name)
        answers = self._names.get(name)
        if answers is None:
            if f".{name}".rstrip(".").lower().endswith(".localhost"):
                answers = [["127.0.0.1", "::1"]]
            elif any(letter.isalpha() for letter in name) and ":" not in name:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            else:
                answers = [[name]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in answer for entry in self._system(address, port, *rest, **options)]
