"""Decide which addresses may be connected to."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from resizer.config import Network

Address = IPv4Address | IPv6Address

#: IANA's special-purpose addresses, multicast and reserved. Written out because `ipaddress.is_global`
#: differs between patch releases of Python, and is true for multicast. Includes AS112 and AMT: these
#: are global, but lead to the nearest node, which is often an internal one, and none of them has an image.
NOT_PUBLIC = tuple(
    map(
        ip_network,
        """
        0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
        192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
        198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
        2001::/23 2001:db8::/32 2620:4f:8000::/48 3fff::/20
        """.split(),  # noqa: SIM905 - a table reads better without quotes
    )
)
#: no public IPv6 address is assigned outside it
GLOBAL_UNICAST = IPv6Network("2000::/3")
MAPPED_OR_COMPATIBLE = (IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"))
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")


class AddressRefused(OSError):
    """The policy does not permit a connection to this address."""

    def __init__(self) -> None:
        # the same text for every address: aiohappyeyeballs raises this error, not one of its own,
        # only if the errors of all of a host's addresses have the same text
        super().__init__("the address is not permitted")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Permits public addresses, and those of some networks."""

    #: permitted although not public; an IPv4 address inside IPv6 counts in either form
    networks: tuple[Network, ...] = ()
    _: KW_ONLY
    #: full name of the configuration key that sets `networks`
    setting: str

    def permits(self, address: str | Address) -> bool:
        try:
            # a zone (fe80::1%eth0) names an interface and is not part of the address
            known = ip_address(address.partition("%")[0] if isinstance(address, str) else address)
        except ValueError:
            return False
        if any(known in network for network in self.networks):
            return True
        inner = [*_embedded(known)]
        if inner:
            return all(map(self.permits, inner))
        return not any(known in network for network in NOT_PUBLIC) and (
            isinstance(known, IPv4Address) or known in GLOBAL_UNICAST
        )


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if address in NAT64 or any(address in network for network in MAPPED_OR_COMPATIBLE):
        yield IPv4Address(number & 0xFFFFFFFF)
    elif address in SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFFFFFF)
    elif address in TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)  # the server
        yield IPv4Address(~number & 0xFFFFFFFF)  # the client, its bits inverted
