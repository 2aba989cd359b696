"""The address under which this service is known to the client at hand."""

from collections.abc import Iterator
from ipaddress import ip_address

import yarl
from aiohttp import web

from resizer.config import Network, ServerSettings
from resizer.schemas import Links
from resizer.support.cross_site import Authority, asked_for
from resizer.web.keys import SETTINGS

INVALID_HOST = "the Host header is no host name; send the name of this server"
SCHEMES = frozenset({"http", "https"})


def links_for(request: web.Request) -> Links:
    """Return where this client finds things: `server.public_url`, or else what its request was sent to."""
    settings = request.app[SETTINGS]
    origin = settings.server.public_url or "{}://{}".format(*_addressed(request))
    return Links(origin=origin, files=settings.files_url(origin))


def asked(request: web.Request) -> str | None:
    """Return the host and port the request asks for, as sent."""
    return asked_for(request.method, request.raw_path, request.headers)


def client_hosts(request: web.Request) -> Iterator[str]:
    """Return each host and port by which the client may know the service."""
    settings = request.app[SETTINGS].server
    yield asked(request) or ""
    if from_trusted_proxy(request, settings.trusted_proxies):
        yield _first(request, "X-Forwarded-Host")
    if settings.public_url:
        yield public_authority(settings)


def public_authority(settings: ServerSettings) -> str:
    """Return the host and port of `server.public_url`; the port also where it is the scheme's default."""
    url = yarl.URL(settings.public_url)
    return f"{url.host_subcomponent}:{url.port}"


def local_address(request: web.Request) -> tuple[str, int]:
    """Return the address and port of this server that the client is connected to."""
    sockname = request.transport.get_extra_info("sockname") if request.transport else None
    return (str(sockname[0]), int(sockname[1])) if isinstance(sockname, tuple) else ("", 0)


def _addressed(request: web.Request) -> tuple[str, str]:
    scheme, host = request.scheme, asked(request) or _local_authority(request)
    if from_trusted_proxy(request, request.app[SETTINGS].server.trusted_proxies):
        scheme = _first(request, "X-Forwarded-Proto") or scheme
        host = _first(request, "X-Forwarded-Host") or host
    if scheme not in SCHEMES or Authority.of(host) is None:
        raise web.HTTPBadRequest(text=INVALID_HOST)
    return scheme, host


def _local_authority(request: web.Request) -> str:
    address, port = local_address(request)
    address = address.partition("%")[0]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def from_trusted_proxy(request: web.Request, proxies: tuple[Network, ...]) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not proxies or not isinstance(peer, tuple):
        return False
    address = ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in proxies)


def _first(request: web.Request, header: str) -> str:
    # with several proxies each appends; the first value is what the client asked for
    return request.headers.get(header, "").partition(",")[0].strip()
