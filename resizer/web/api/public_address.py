"""The address under which a client knows this service."""

from collections.abc import Iterator
from ipaddress import ip_address

import yarl
from aiohttp import web

from resizer.config import Network, ServerSettings
from resizer.schemas.fields import Links
from resizer.support.cross_site import Authority, requested_authority
from resizer.web.keys import SETTINGS

INVALID_HOST = "the Host header is not a host name; send the name of this server"
SCHEMES = frozenset({"http", "https"})


def links_for(request: web.Request) -> Links:
    """Return the origin of this client's URLs: `server.public_url`, or else the host it requested."""
    settings = request.app[SETTINGS]
    origin = settings.server.public_url or _requested_origin(request)
    return Links(origin=origin, files=settings.files_url(origin))


def requested_host(request: web.Request) -> str | None:
    """Return the host and port that the request names, as sent."""
    return requested_authority(request.method, request.raw_path, request.headers)


def client_hosts(request: web.Request) -> Iterator[str]:
    """Yield every host and port by which the client may know the service."""
    settings = request.app[SETTINGS].server
    yield requested_host(request) or ""
    if _from_trusted_proxy(request, settings.trusted_proxies):
        yield _first(request, "X-Forwarded-Host")
    if settings.public_url:
        yield public_authority(settings)


def public_authority(settings: ServerSettings) -> str:
    """Return the host and port of `server.public_url`; the port even if it is the scheme's default."""
    url = yarl.URL(settings.public_url)
    return f"{url.host_subcomponent}:{url.port}"


def local_address(request: web.Request) -> tuple[str, int]:
    """Return the server's address and port on this connection."""
    sockname = request.transport.get_extra_info("sockname") if request.transport else None
    return (str(sockname[0]), int(sockname[1])) if isinstance(sockname, tuple) else ("", 0)


def _requested_origin(request: web.Request) -> str:
    scheme, host = request.scheme, requested_host(request) or _local_authority(request)
    if _from_trusted_proxy(request, request.app[SETTINGS].server.trusted_proxies):
        scheme = _first(request, "X-Forwarded-Proto") or scheme
        host = _first(request, "X-Forwarded-Host") or host
    if scheme not in SCHEMES or Authority.of(host) is None:
        raise web.HTTPBadRequest(text=INVALID_HOST)
    return f"{scheme}://{host}"


def _local_authority(request: web.Request) -> str:
    address, port = local_address(request)
    address = address.partition("%")[0]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _from_trusted_proxy(request: web.Request, proxies: tuple[Network, ...]) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not proxies or not isinstance(peer, tuple):
        return False
    address = ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in proxies)


def _first(request: web.Request, header: str) -> str:
    # every proxy appends a value; the first is the client's
    return request.headers.get(header, "").partition(",")[0].strip()
