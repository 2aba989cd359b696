"""Refuse what pages of other sites send, by whatever name they reach the service."""

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from resizer.config import ServerSettings
from resizer.errors import CrossOrigin, HostNotAllowed
from resizer.support.cross_site import SAFE_METHODS, AllowedHosts, Authority, comes_from_elsewhere
from resizer.web.api.origin import INVALID_HOST, asked, client_hosts, local_address, public_authority
from resizer.web.connection.cors import Cors


class CrossSite:
    """Checks each request before anything else looks at it: its Host, and the page that sent it.

    A page whose DNS name was rebound to this server has the name in its Host, and is answered 421. A page
    of another origin, which `cors` does not list, may not change anything, and is answered 403.
    """

    def __init__(self, settings: ServerSettings, cors: Cors) -> None:
        self._cors = cors
        public = [public_authority(settings)] if settings.public_url else []
        self._hosts = AllowedHosts(settings.host, [*settings.allowed_hosts, *public])

    def middleware(self) -> Middleware:
        @web.middleware
        async def refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_host(request)
            if request.method not in SAFE_METHODS:
                self._check_origin(request)
            return await handler(request)

        return refuse_other_sites

    def _check_host(self, request: web.Request) -> None:
        """Refuse a host that the server does not answer for. Raises `HostNotAllowed`."""
        text = asked(request)
        if text is None and request.version < HttpVersion11:
            return
        authority = Authority.of(text or "")
        if authority is None:
            raise web.HTTPBadRequest(text=INVALID_HOST)
        if not self._hosts.allow(authority.host, local_address(request)[0]):
            raise HostNotAllowed(authority.host)

    def _check_origin(self, request: web.Request) -> None:
        """Refuse a page of another origin. Raises `CrossOrigin`."""
        if comes_from_elsewhere(request.headers, client_hosts(request)) and not self._cors.lists(request):
            raise CrossOrigin
