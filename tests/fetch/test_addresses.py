"""Only public addresses are permitted, in every form."""

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Network, ip_network

import pytest

from inward import SPECIAL, Address, Network, edges, embedded
from resizer.fetch.addresses import AddressPolicy

PUBLIC_ONLY = AddressPolicy(setting="fetch.allow_networks")

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::2 fe80::1 fe80::1%eth0 fe80::1%2 febf::1 fec0::1 fc00::1 fd00::1 ff02::1 ff0e::1
100::1 2001:db8::1 2001:2::1 2001:10::1 2001:20::1 3fff::1 5f00::1 4000::1 64:ff9b:1::808:808
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
::127.0.0.1 ::10.0.0.1 ::7f00:1
64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::7f00:1 64:ff9b:1:7f00:0:100::
2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::1
2001:0:7f00:1::f7f7:f7f7 2001:0:808:808::80ff:fffe 2001:0:808:808:0:0:f5ff:fffe
""".split()  # noqa: SIM905 - a table reads better without quotes

PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0
198.17.255.255 198.20.0.0 223.255.255.255
2606:4700:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 2001:200::1
::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 2001:0:808:808::f7f7:f7f7
""".split()  # noqa: SIM905 - a table reads better without quotes


def ways_to(address: Address) -> Iterator[Address]:
    """Yield the address, and for IPv4 every IPv6 address that leads to it."""
    yield address
    if isinstance(address, IPv4Address):
        yield from embedded(address)


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_no_address_of_a_special_range_is_permitted(network: Network) -> None:
    """Its first, last, middle and some random addresses; IPv4 in every IPv6 form too."""
    chance = random.Random(str(network))
    tried = [*edges(network), *(network[chance.randrange(network.num_addresses)] for _ in range(20))]
    ways = [way for address in tried for way in ways_to(address)]
    assert [str(way) for way in ways if PUBLIC_ONLY.permits(str(way))] == []


def test_neighbours_of_special_ranges_are_permitted() -> None:
    """Otherwise a range would be too wide."""
    unicast, assigned_specially = IPv6Network("2000::/3"), IPv6Network("2001::/23")
    outside = [
        type(network[0])(number)
        for network in SPECIAL
        for number in (int(network[0]) - 1, int(network[-1]) + 1)
        if 0 <= number < 2**network.max_prefixlen
    ]
    public = [
        address
        for address in outside
        if not any(address in network for network in (*SPECIAL, assigned_specially))
        and (isinstance(address, IPv4Address) or address in unicast)
    ]
    assert len(public) > 30
    assert [str(address) for address in public if not PUBLIC_ONLY.permits(address)] == []


@pytest.mark.parametrize("address", REFUSED)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert not PUBLIC_ONLY.permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_permitted(address: str) -> None:
    assert PUBLIC_ONLY.permits(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.2.3.4.5", "example.com", "0x7f000001"])
def test_text_other_than_an_address_is_refused(text: str) -> None:
    """A name would be resolved again by the connector."""
    assert not AddressPolicy((ip_network("0.0.0.0/0"), ip_network("::/0")), setting="x").permits(text)


@pytest.mark.parametrize(
    "network, address, permitted",
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", True),
        ("10.0.0.0/8", "172.16.0.1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::10.1.2.3", True),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", True),
        ("10.0.0.0/8", "2002:a01:203::1", True),
        ("10.0.0.0/8", "::ffff:127.0.0.1", False),
        ("10.0.0.0/8", "2001:0:a01:203::80ff:fffe", False),  # the client is 127.0.0.1
        ("10.0.0.0/8", "2001:0:a01:203::f5fe:fdfc", True),
        ("10.0.0.0/8", "64:ff9b:1::10.1.2.3", False),  # the operator chooses the position of the IPv4 address
        ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", False),
        ("64:ff9b:1::/48", "64:ff9b:1::1", True),
        ("64:ff9b::/96", "64:ff9b::7f00:1", True),
        ("2002:7f00::/24", "2002:7f00:1::", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("127.0.0.0/8", "::1", False),
        ("::1/128", "::1", True),
        ("::1/128", "127.0.0.1", False),
    ],
)
def test_allowed_network_may_be_named_in_either_form(network: str, address: str, *, permitted: bool) -> None:
    policy = AddressPolicy((ip_network(network),), setting="fetch.allow_networks")
    assert policy.permits(address) is permitted
