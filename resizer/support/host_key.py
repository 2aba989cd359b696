"""Name the host of a URL in one way, for limits by host and for the database."""

from functools import lru_cache

from yarl import URL

#: scheme → port of a URL that names none
DEFAULT_PORTS = {"http": "80", "https": "443"}
#: hosts whose key is remembered; a catalogue has many URLs of few hosts
REMEMBERED = 1024
#: characters; a longer authority is no host's, and is not remembered
LONGEST = 300


class HostKey(str):
    """Scheme, host and effective port: `https://shop.example:443`; empty where a URL names no host."""

    __slots__ = ()

    @classmethod
    def of(cls, url: str) -> "HostKey":
        """Return the key of a URL, or of any text that a catalogue has in place of one."""
        scheme, _, rest = url.partition("://")
        authority = rest.partition("/")[0]
        if len(authority) > LONGEST:
            return _key(scheme, authority)
        return _remembered_key(scheme, authority)


def _key(scheme: str, authority: str) -> HostKey:
    for mark in "?#":
        authority = authority.partition(mark)[0]
    host, port = _split(authority.rpartition("@")[2].lower())
    if not host:
        return HostKey()
    scheme = scheme.lower()
    port = port or DEFAULT_PORTS.get(scheme, "")
    return HostKey(f"{scheme}://{_encoded(host)}{port and f':{port}'}")


_remembered_key = lru_cache(REMEMBERED)(_key)


def _split(authority: str) -> tuple[str, str]:
    """Return the host without its final dot, and the port without zeros before it."""
    host, _, port = authority.rpartition(":")
    if not host or "]" in port:
        host, port = authority, ""
    return host.removesuffix("."), port.lstrip("0")


def _encoded(host: str) -> str:
    """Return the name in the ASCII form that DNS uses, or as it is where it has none."""
    if host.isascii():
        return host
    try:
        return URL.build(scheme="http", host=host).raw_host or host
    except ValueError:
        return host
