"""Parse the URLs of images and webhooks."""

import re
import socket
import string
from functools import lru_cache
from urllib.parse import quote, urlsplit

from yarl import URL

from resizer.errors import InvalidUrl

MAX_URL = 8192  # characters; servers commonly refuse longer request lines

#: allowed in a path or query by RFC 3986, and brackets and `%`, which servers accept as they are
_URL_CHARACTERS = "%/:@!$&'()*+,;=~-._?[]" + string.ascii_letters + string.digits
_HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def parse_url(text: str) -> URL:
    """Return the URL without its fragment, with its percent-encoding unchanged. Raises `InvalidUrl`."""
    if len(text) > MAX_URL:
        raise InvalidUrl(f"it is longer than {MAX_URL} characters")
    if _CONTROL.search(text) or text != text.strip():
        raise InvalidUrl("it contains control characters or surrounding white space")
    try:
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"}:
            raise InvalidUrl("it does not begin with http:// or https://")
        authority = _authority(parts.scheme, parts.netloc)
    except ValueError as error:
        # without the error's own text, which may repeat the user's password
        raise InvalidUrl("its host or port is malformed") from error
    path, query = (
        quote(part.encode(errors="surrogateescape"), safe=_URL_CHARACTERS)
        for part in (parts.path, parts.query)
    )
    # yarl would normalise the existing encoding, and so break a signed URL
    return URL(f"{parts.scheme}://{authority}{path or '/'}{query and '?' + query}", encoded=True)


@lru_cache(maxsize=1024)  # a catalogue has many URLs of few hosts
def _authority(scheme: str, given: str) -> str:
    """Return user, host and port in the form to connect with. Raises `ValueError`, `InvalidUrl`."""
    site = URL(f"{scheme}://{given}")
    site = site.with_host(_host(site.raw_host or ""))  # also validates what is in brackets
    if site.port == 0:
        raise InvalidUrl("its port is 0")
    if site.is_default_port():
        site = site.with_port(None)  # with or without it, the URL is the same
    return site.raw_authority


def _host(host: str) -> str:
    if not host:
        raise InvalidUrl("it has no host")
    if ":" in host:  # yarl accepts only IPv6 addresses in brackets
        return host
    if _ENDS_IN_NUMBER.fullmatch(host):
        # 2130706433, 0x7f.1 and 0177.1 are addresses to a resolver and to a browser,
        # but aiohttp rejects some of them
        try:
            return socket.inet_ntoa(socket.inet_aton(host.removesuffix(".")))
        except OSError as error:
            raise InvalidUrl("its host is not a valid address") from error
    if not _HOST_NAME.fullmatch(host):
        raise InvalidUrl("its host is not a valid host name")
    return host


def redact(url: str | URL) -> str:
    """Return the URL for a log: without credentials and query."""
    try:
        known = parse_url(str(url))
    except InvalidUrl:
        return "(not a URL)"
    return str(known.with_user(None).with_query(None))
