"""Refuse requests for other hosts, and changes sent by pages of other origins."""

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler

from resizer.config import ServerSettings
from resizer.errors import CrossOrigin, HostNotAllowed
from resizer.support.cross_site import SAFE_METHODS, AllowedHosts, Authority, is_cross_origin
from resizer.web.api.public_address import (
    INVALID_HOST,
    client_hosts,
    local_address,
    public_authority,
    requested_host,
)
from resizer.web.connection.cors import Cors


class OriginCheck:
    """Checks the Host and the origin of every request before any handler.

    A page whose DNS name was rebound to this server sends that name as Host: 421. A page of an origin that
    `cors` does not allow may change nothing: 403.
    """

    def __init__(self, settings: ServerSettings, cors: Cors) -> None:
        self._cors = cors
        public = [public_authority(settings)] if settings.public_url else []
        self._hosts = AllowedHosts(settings.host, [*settings.allowed_hosts, *public])

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise `HostNotAllowed` or `CrossOrigin`, or handle the request."""
        self._check_host(request)
        if (
            request.method not in SAFE_METHODS
            and is_cross_origin(request.headers, client_hosts(request))
            and not self._cors.allows(request)
        ):
            raise CrossOrigin
        return await handler(request)

    def _check_host(self, request: web.Request) -> None:
        text = requested_host(request)
        if text is None and request.version < HttpVersion11:
            return
        authority = Authority.of(text or "")
        if authority is None:
            raise web.HTTPBadRequest(text=INVALID_HOST)
        if not self._hosts.allow(authority.host, local_address(request)[0]):
            raise HostNotAllowed(authority.host)
