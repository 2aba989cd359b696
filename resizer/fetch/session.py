"""Open HTTP sessions that connect to permitted addresses only."""

import os
import socket
import ssl
from collections.abc import Mapping
from errno import errorcode
from functools import partial
from typing import Any

import aiohttp
from yarl import URL

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
from resizer.fetch.addresses import AddressPolicy, AddressRefused
from resizer.fetch.resolver import Resolver

KEEP_ALIVE = 4.0  # seconds; Apache and Node close an idle connection after 5


def open_session(
    policy: AddressPolicy,
    *,
    timeout: aiohttp.ClientTimeout = aiohttp.client.DEFAULT_TIMEOUT,
    limit_per_host: int = 0,
    headers: Mapping[str, str] | None = None,
    read_bufsize: int = 2**16,
) -> aiohttp.ClientSession:
    """Return a session that connects only to addresses that the policy permits.

    A reused connection is not checked again: each policy needs its own session.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            socket_factory=partial(_permitted_socket, policy),
            resolver=Resolver(),
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


def _permitted_socket(
    policy: AddressPolicy, info: tuple[int, int, int, str, tuple[Any, ...]]
) -> socket.socket:
    family, kind, protocol, _, address = info
    if not policy.permits(address[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


class _Broken(aiohttp.ClientConnectionError):
    """A connection broke before the head of the response was read; `__cause__` is the error."""


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a broken request: the caller counts attempts and spaces them."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken from error


def translate(error: Exception, url: URL, policy: AddressPolicy) -> ImageError:  # noqa: PLR0911 - a table
    """Return the `ImageError` for an exception of a session from `open_session`.

    The caller handles `TimeoutError` itself, since only the caller knows which limit was exceeded.
    """
    host = url.host or ""
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    elif isinstance(error, _Broken) and error.__cause__:
        cause = error.__cause__
    match cause:
        case _ if lacking := shortage(cause):
            return OutOfResources(lacking)
        case AddressRefused():
            return BlockedAddress(host, policy.setting)
        case socket.gaierror():
            return DnsFailure(host, passing=cause.errno == socket.EAI_AGAIN)
        case ssl.SSLCertVerificationError():
            return TlsFailure(host, cause.verify_message.rstrip("."))
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return ConnectFailure(host, "closed during the TLS handshake")
        case ssl.SSLError():
            return TlsFailure(host, (cause.reason or "handshake failed").replace("_", " ").lower())
        case aiohttp.InvalidURL():
            return InvalidUrl("its host cannot be connected to")
        case _:
            return ConnectFailure(host, _reason(cause))


def _reason(cause: BaseException) -> str:
    match cause:
        case aiohttp.ServerDisconnectedError():
            return "closed without a response"
        case aiohttp.ClientPayloadError():
            return "the response body is incomplete or cannot be decoded"
        case aiohttp.ClientResponseError() if "content-encoding" in cause.message.lower():
            return "the response has a content encoding that was not requested"
        case aiohttp.ClientResponseError():
            return "the response is not valid HTTP"
        case OSError(errno=int(number)) if number in errorcode:
            return os.strerror(number).lower()
        case _:
            # not the error's own text, which may contain a Python repr
            return "lost"
