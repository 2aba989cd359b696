"""Which addresses may be connected to."""

import _thread
import asyncio
import errno
import os
import re
import socket
import ssl
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from resizer.config import Network
from resizer.errors import (
    BlockedAddress,
    ConnectFailure,
    DnsFailure,
    ImageError,
    InvalidUrl,
    OutOfResources,
    TlsFailure,
    shortage,
)

Address = IPv4Address | IPv6Address

MAX_URL = 8192  # characters; servers commonly refuse a longer request line
DNS_THREADS = 64  # lookups at once; twice the default queue.workers, so that hanging ones leave room
THREAD_BEGINS = 5.0  # seconds in which a thread has begun, unless there was no memory for it
KEEP_ALIVE = 4.0  # seconds; under the 5 s after which Apache and Node close an idle connection

#: IANA's special-purpose addresses, multicast and reserved. Written out because `ipaddress.is_global`
#: differs between patch releases of Python, and is true for multicast. Those of AS112 and AMT count too: they
#: are global, but lead to the nearest node, which is often inside, and none of them has an image.
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
#: beyond it no public IPv6 address is assigned
GLOBAL_UNICAST = IPv6Network("2000::/3")
MAPPED_OR_COMPATIBLE = (IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"))
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")

#: what RFC 3986 lets stand in a path or query, and brackets and `%`, which servers take as they come
_URL_CHARACTERS = "%/:@!$&'()*+,;=~-._?[]" + string.ascii_letters + string.digits
#: what most URLs are: nothing in it is to be encoded, left out or looked at closer, but for its host
_PLAIN = re.compile(
    r"(https?)://([A-Za-z0-9.-]+(?::[0-9]+)?)(/[{0}]*)?(\?[{0}?]+)?".format(
        re.escape(_URL_CHARACTERS.replace("?", ""))
    )
)
_HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_TLS_CUT_SHORT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (_TLS_CUT_SHORT, "closed while TLS was set up"),
    (aiohttp.ServerDisconnectedError, "closed without an answer"),
    (aiohttp.ClientPayloadError, "the body that arrived is not whole, or cannot be decoded"),
    (aiohttp.ClientResponseError, "the answer is no valid HTTP"),
)


class AddressRefused(OSError):
    """A connection to an address that the policy does not permit."""

    def __init__(self) -> None:
        # one and the same text for every address: aiohappyeyeballs then raises this error
        # itself where several addresses of a host are refused
        super().__init__("the address is not permitted")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses, and those of some networks besides."""

    #: may be connected to although not public; an IPv4 address inside IPv6 counts in either form
    networks: tuple[Network, ...] = ()
    _: KW_ONLY
    #: full name of the configuration key that holds `networks`
    setting: str

    def permits(self, address: str | Address) -> bool:
        try:
            # a zone (fe80::1%eth0) names an interface and says nothing of the address
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
    """Find the IPv4 addresses to which an IPv6 address leads."""
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


def parse_url(text: str) -> URL:
    """Return the URL without its fragment, its own percent-encoding untouched. Raises `InvalidUrl`."""
    if len(text) > MAX_URL:
        raise InvalidUrl(f"it is longer than {MAX_URL} characters")
    if _CONTROL.search(text) or text != text.strip():
        raise InvalidUrl("it holds control characters or white space around it")
    try:
        if plain := _PLAIN.fullmatch(text):
            scheme, site, path, query = plain.groups("")
            return URL(f"{scheme}://{_authority(scheme, site)}{path or '/'}{query}", encoded=True)
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"}:
            raise InvalidUrl("it does not begin with http:// or https://")
        authority = _authority(parts.scheme, parts.netloc)
    except ValueError as error:
        # no word of the error's own: it may repeat the user's password
        raise InvalidUrl("its host or port cannot be read") from error
    path, query = (
        quote(part.encode(errors="surrogateescape"), safe=_URL_CHARACTERS)
        for part in (parts.path, parts.query)
    )
    # yarl would rewrite what is encoded already, and so break a signed URL
    return URL(f"{parts.scheme}://{authority}{path or '/'}{query and '?' + query}", encoded=True)


@lru_cache(maxsize=1024)  # the images of a catalogue are at few hosts
def _authority(scheme: str, given: str) -> str:
    """Return user, host and port as they are to be asked. Raises `ValueError`, `InvalidUrl`."""
    site = URL(f"{scheme}://{given}")
    site = site.with_host(_host(site.raw_host or ""))  # looks closer at what is in brackets
    if site.port == 0:
        raise InvalidUrl("its port is 0")
    if site.is_default_port():
        site = site.with_port(None)  # written out or not, it is the same URL
    return site.raw_authority


def _host(host: str) -> str:
    if not host:
        raise InvalidUrl("it has no host")
    if ":" in host:  # what is no IPv6 address in brackets, yarl refuses
        return host
    if _ENDS_IN_NUMBER.fullmatch(host):
        # 2130706433, 0x7f.1 and 0177.1 are addresses to a resolver and to a browser,
        # while aiohttp takes some of them for no URL
        try:
            return socket.inet_ntoa(socket.inet_aton(host.removesuffix(".")))
        except OSError as error:
            raise InvalidUrl("its host is no address") from error
    if not _HOST_NAME.fullmatch(host):
        raise InvalidUrl("its host is no host name")
    return host


def redact(url: str | URL) -> str:
    """Return of a URL what may stand in a log: neither credentials nor query."""
    try:
        known = parse_url(str(url))
    except InvalidUrl:
        return "(not a URL)"
    return str(known.with_user(None).with_query(None))


def open_session(
    policy: AddressPolicy,
    *,
    timeout: aiohttp.ClientTimeout = aiohttp.client.DEFAULT_TIMEOUT,
    limit_per_host: int = 0,
    headers: Mapping[str, str] | None = None,
    read_bufsize: int = 2**16,
) -> aiohttp.ClientSession:
    """Return a session that connects to what the policy permits and to nothing else.

    A connection that is kept alive is not checked again: each policy needs a session of its own.
    """
    return aiohttp.ClientSession(
        connector=_Connector(
            socket_factory=partial(_permitted_socket, policy),
            resolver=_Resolver(),
            limit=0,
            limit_per_host=limit_per_host,
            keepalive_timeout=KEEP_ALIVE,
        ),
        timeout=timeout,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=read_bufsize,
        middlewares=(_send_once,),
    )


class _Connector(aiohttp.TCPConnector):
    """A connector that ends its resolver's threads too; aiohttp's leaves alone a resolver it was given."""

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        await self._resolver.close()


def _permitted_socket(
    policy: AddressPolicy, info: tuple[int, int, int, str, tuple[Any, ...]]
) -> socket.socket:
    family, kind, protocol, _, address = info
    if not policy.permits(address[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """Host names through the system, in threads of their own: a lookup that hangs holds up no file.

    The threads are daemons, since Python would wait for those of an executor before it ends.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(DNS_THREADS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        lookup = partial(_look_up, host, port, family)
        try:
            found = await self._in_thread(lookup)
        except UnicodeError as error:  # a label that IDNA cannot encode
            raise socket.gaierror(socket.EAI_NONAME, "no host name") from error
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Leave lookups that hang to themselves."""

    async def _in_thread(self, lookup: Callable[[], list[Any]]) -> list[Any]:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        begun = over = False

        def settle(result: list[Any], error: Exception | None) -> None:
            nonlocal over
            if over:
                return
            over = True
            self._places.release()
            if found.done():  # nobody waits any more
                return
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        def run() -> None:
            nonlocal begun
            begun = True
            result, error = [], None
            try:
                result = lookup()
            except Exception as caught:  # noqa: BLE001 - raised again where it is waited for
                error = caught
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        def look() -> None:
            if not begun:
                settle([], OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))

        try:
            # a Thread's start waits, with the whole loop, for one that dies of too little memory as it begins
            _thread.start_new_thread(run, ())
        except RuntimeError as error:
            settle([], OSError(errno.EAGAIN, str(error)))
        timer = loop.call_later(THREAD_BEGINS, look)
        try:
            return await found
        finally:
            timer.cancel()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except OSError:
        # without a descriptor for its files every name looks unknown: then this raises what is lacking
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
        raise


class _Broken(aiohttp.ClientConnectionError):
    """A connection broke before the answer's head was read."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again by itself what broke: tries are counted, and spaced, by the caller."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(error) from error


def translate(error: Exception, url: URL, policy: AddressPolicy) -> ImageError:  # noqa: PLR0911 - a table
    """Return the error of ours for what a session of `open_session` raised.

    A `TimeoutError` is the caller's to name first, since it alone knows which limit was met.
    """
    host = url.host or ""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, _Broken):
        cause = error.error
    match cause:
        case _ if lacking := shortage(cause):
            return OutOfResources(lacking)
        case AddressRefused():
            return BlockedAddress(host, policy.setting)
        case socket.gaierror():
            return DnsFailure(host, passing=cause.errno == socket.EAI_AGAIN)
        case ssl.SSLCertVerificationError():
            return TlsFailure(host, cause.verify_message.rstrip("."))
        case ssl.SSLError() if not isinstance(cause, _TLS_CUT_SHORT):
            return TlsFailure(host, (cause.reason or "handshake failed").replace("_", " ").lower())
        case aiohttp.InvalidURL():
            return InvalidUrl("its host cannot be connected to")
        case _:
            return ConnectFailure(host, _reason(cause))


def _reason(cause: Exception) -> str:
    if isinstance(cause, aiohttp.ClientResponseError) and "content-encoding" in cause.message.lower():
        return "the body is packed in a way that was not asked for"
    for kinds, reason in _REASONS:
        if isinstance(cause, kinds):
            return reason
    # not the error's own text, which may hold a Python repr
    number = cause.errno if isinstance(cause, OSError) else None
    return os.strerror(number).lower() if number in errno.errorcode and number else "lost"
