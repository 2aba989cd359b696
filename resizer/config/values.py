"""Types of configuration values: how each is parsed and described."""

import base64
import re
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

import yarl
from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr

from resizer.support.cross_site import ANY_HOST, Authority, host_of

Network = IPv4Network | IPv6Network
#: address to listen on everywhere → loopback address that reaches it from this machine
ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
#: in server.cors_origins: every origin
ANY_ORIGIN = "*"


def _listed(value: object) -> object:
    """Split the text of an environment variable: a TOML list, or items separated by commas."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    # TOMLDecodeError is a ValueError
    return tomllib.loads(f"value = {text}")["value"]


def _number(value: object) -> object:
    # Python takes `true` for 1
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def _network(value: object) -> object:
    # `10.0.0.1/8` names the same network as `10.0.0.0/8`
    return ip_network(value, strict=False) if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not value:
        return value
    # yarl ignores white space before a URL; cells of the result would begin with it
    if not value.isprintable() or " " in value:
        raise ValueError("it contains white space or control characters")
    url = yarl.URL(value)
    if url.scheme not in {"http", "https"} or not url.host or url.query_string or url.fragment:
        raise ValueError("not an http or https URL without a query")
    return value.rstrip("/")


def _page_origin(value: str) -> str:
    """Return an origin as browsers write it."""
    if value == ANY_ORIGIN:
        return value
    url = yarl.URL(_origin(value))
    named = url.raw_host and "*" not in url.raw_host
    if not named or url.path != "/" or url.user is not None or url.password is not None:
        raise ValueError("not scheme://host or scheme://host:port")
    return str(url.origin()).lower()


def _allowed_host(value: str) -> str:
    """Return a host in the form in which hosts are compared."""
    if value == ANY_HOST:
        return value
    authority = Authority.of(value)
    host = host_of(value) if authority is None or authority.port is None else None
    if not host:
        # an international name, in the form that clients send, or a URL
        named = yarl.URL(value if "://" in value else f"//{value}")
        host = host_of(named.raw_host or "")
        if not host:
            raise ValueError("not a host name or IP address")
        if value.lower().removesuffix(".") != named.host:
            raise ValueError(f"write only the host: {bracketed(host)!r}")
    return bracketed(host)


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _any_alone(value: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in value and len(value) > 1:
        raise ValueError("'*' already allows all")
    return value


def _webhook_url(value: str) -> str:
    if value:
        url = yarl.URL(value)
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("not an http or https URL")
    return value


def is_signing_secret(text: str) -> bool:
    """Return whether a text is whsec_ followed by base64 of at least one byte."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:  # from binascii, or a character outside ASCII
        return False
    return text.startswith("whsec_") and bool(key)


def _signing_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not is_signing_secret(text):
        raise ValueError("not whsec_ and base64")
    return value


def _broker_url(value: str) -> str:
    url = yarl.URL(value)
    if url.scheme not in {"redis", "rediss"} or not url.host:
        raise ValueError("not a redis:// or rediss:// URL")
    if not re.fullmatch(r"/?\d*", url.path):
        raise ValueError("the path must be the number of a database, such as /0")
    return value


def _endpoint(value: str) -> str:
    value = _origin(value)
    url = yarl.URL(value)
    # messages quote it, and clients see them
    if url.user is not None or url.password is not None:
        raise ValueError("it contains a login; set credentials in the provider's variables")
    return value


def _bucket(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value, re.ASCII):
        raise ValueError("not the name of a bucket; a folder in it is storage.prefix")
    return value


def _prefix(value: str) -> str:
    parts = value.strip("/").split("/")
    if value.strip("/") and any(part in {"", ".", ".."} for part in parts):
        raise ValueError("none of its parts may be empty, '.' or '..'")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or any(character.isspace() for character in text):
        raise ValueError("a token is empty, or contains white space or characters outside ASCII")
    return value


Seconds = Annotated[
    float,
    BeforeValidator(_number),
    # more than four months are a mistake, and too long for timers
    Field(gt=0, le=1e7, allow_inf_nan=False, description="a number of seconds above 0, such as 30"),
]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1, description="a whole number of 1 or more")]
Limit = Annotated[int, BeforeValidator(_number), Field(ge=0, description="a whole number of 0 or more")]
Port = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=0, le=65535, description="a port from 0 to 65535; 0 chooses a free one"),
]
Quality = Annotated[
    int, BeforeValidator(_number), Field(ge=1, le=100, description="a whole number from 1 to 100")
]
Size = Annotated[ByteSize, Field(gt=0, description='a size such as "25 MB"')]
Text = Annotated[str, Field(description="a text")]
Flag = Annotated[bool, Field(description="true or false")]
Origin = Annotated[
    str, AfterValidator(_origin), Field(description="an address such as https://images.example.com, or empty")
]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...],
    BeforeValidator(_listed),
    Field(description='a list of networks such as ["10.0.0.0/8"]'),
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_page_origin)], ...],
    BeforeValidator(_listed),
    AfterValidator(_any_alone),
    Field(description='a list of origins such as ["https://shop.example.com"], or ["*"] for all'),
]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_allowed_host)], ...],
    BeforeValidator(_listed),
    AfterValidator(_any_alone),
    Field(description='a list of hosts such as ["images.example.com"], or ["*"] for all'),
]
Tokens = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_token)], ...],
    BeforeValidator(_listed),
    Field(description='a list of texts without white space such as ["a-long-random-token"]'),
]
Bucket = Annotated[
    str, AfterValidator(_bucket), Field(description="a bucket's name of letters, digits, '.', '-' and '_'")
]
Prefix = Annotated[
    str, AfterValidator(_prefix), Field(description="a path within the bucket such as shop/images")
]
Endpoint = Annotated[
    str,
    AfterValidator(_endpoint),
    Field(description="the http or https address of a store, without a login, or empty"),
]
WebhookUrl = Annotated[str, AfterValidator(_webhook_url), Field(description="an http or https URL, or empty")]
SigningSecret = Annotated[
    SecretStr, AfterValidator(_signing_secret), Field(description="whsec_ and base64, or empty")
]
Schedule = Annotated[
    tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...],
    BeforeValidator(_listed),
    Field(min_length=1, description="a list of seconds such as [0, 5, 300]"),
]
BrokerUrl = Annotated[
    str,
    AfterValidator(_broker_url),
    Field(description="a redis:// or rediss:// address such as redis://127.0.0.1:6379/0"),
]
Days = Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number of days of 0 or more")]
