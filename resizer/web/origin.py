"""The address under which this service is known to the client at hand."""

import re
from ipaddress import ip_address

from aiohttp import web

from resizer.bodies import Links
from resizer.config import Network
from resizer.web.keys import SETTINGS

HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
SCHEMES = frozenset({"http", "https"})


def links_for(request: web.Request) -> Links:
    """Return where this client finds things: `server.public_url`, or else what its request was sent to."""
    settings = request.app[SETTINGS]
    origin = settings.server.public_url or "{}://{}".format(*_addressed(request))
    return Links(origin=origin, files=settings.storage.public_base_url or f"{origin}/compressed")


def _addressed(request: web.Request) -> tuple[str, str]:
    scheme, host = request.scheme, request.host
    if from_trusted_proxy(request, request.app[SETTINGS].server.trusted_proxies):
        scheme = _first(request, "X-Forwarded-Proto") or scheme
        host = _first(request, "X-Forwarded-Host") or host
    if scheme not in SCHEMES or not HOST.fullmatch(host):
        raise web.HTTPBadRequest(text="the Host header is no host name; send the name of this server")
    return scheme, host


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
