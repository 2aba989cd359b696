"""Which hosts a server answers for, and which requests come from pages of other origins."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from multidict import CIMultiDictProxy

#: in server.allowed_hosts: every host
ANY_HOST = "*"
#: methods that change nothing (RFC 9110, 9.2.1)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", re.ASCII)
#: Sec-Fetch-Site of requests by the service's own pages, and by a person without a page
_OWN_SITES = frozenset({"same-origin", "none"})
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and an optional port, as in a Host header."""

    #: lower case, without a trailing dot; IPv6 without brackets, in its shortest form
    host: str
    port: str | None

    @classmethod
    def of(cls, text: str) -> "Authority | None":
        """Parse `host`, `host:port`, `[IPv6]` or `[IPv6]:port`; None for anything else."""
        found = _AUTHORITY.fullmatch(text)
        if found is None:
            return None
        host, port = found[1], found[2]
        if host[0] != "[":
            return cls(host.lower().removesuffix("."), port)
        address = _address(host[1:-1])
        return None if address is None else cls(str(address), port)


def requested_authority(method: str, target: str, headers: CIMultiDictProxy[str]) -> str | None:
    """Return the host and port that a request names: in its target, else in its Host header.

    RFC 9112, 3.2.2. None if it names none; empty, which is no host, for several Host headers.
    """
    if target.startswith("/") or target == "*":
        hosts = headers.getall("Host", ())
        if not hosts:
            return None
        return hosts[0] if len(hosts) == 1 else ""
    if method == "CONNECT":
        return target
    return re.split("[/?#]", target.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]


class AllowedHosts:
    """The hosts a server answers for, in any letter case and on any port.

    They are the host it listens on, `localhost`, `names`, and the local address of each connection. A server
    that listens on all addresses answers for every IP address: port forwarding may use others than its own,
    and a rebound DNS name is never an address.
    """

    def __init__(self, listened: str, names: Iterable[str] = ()) -> None:
        known = {listened, "localhost", *names}
        self._every = ANY_HOST in known
        self._hosts = frozenset(host for name in known if (host := host_of(name)))
        address = _address(listened)
        self._every_address = address is not None and address.is_unspecified

    def allow(self, host: str, local: str) -> bool:
        """Return whether the server answers for `host`; `local` is its address on the connection."""
        if self._every or host in self._hosts:
            return True
        address = _address(host)
        return address is not None and (self._every_address or address == _address(local))


def is_cross_origin(headers: CIMultiDictProxy[str], own: Iterable[str]) -> bool:
    """Return whether a page of another origin sent a request, according to its browser.

    `own` are the hosts, with ports, by which the client may know the server. Only browsers send these
    headers; without them the sender is not a page.
    """
    sites = headers.getall("Sec-Fetch-Site", ())
    if sites:
        return len(sites) != 1 or sites[0] not in _OWN_SITES
    origins = headers.getall("Origin", ())
    if not origins:
        return False
    scheme, _, rest = origins[0].partition("://")
    default, sender = _DEFAULT_PORTS.get(scheme.lower()), Authority.of(rest)
    if len(origins) != 1 or default is None or sender is None:
        return True  # `null` included
    known = (Authority.of(each) for each in own)
    known_pairs = [(each.host, each.port or default) for each in known if each]
    return (sender.host, sender.port or default) not in known_pairs


def host_of(name: str) -> str | None:
    """Return the host of a name, or of an IPv6 address with or without brackets."""
    address = _address(name)
    if address is not None:
        return str(address)
    found = Authority.of(name)
    return found.host if found else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    # only the usual spelling: `127.1` and `2130706433` are names to a server
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped: IPv4Address | None = getattr(address, "ipv4_mapped", None)
    return mapped or address
