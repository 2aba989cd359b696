"""Print the configuration in force as TOML."""

from ipaddress import IPv4Network, IPv6Network

import tomlkit
import yarl
from pydantic import ByteSize, SecretStr

from resizer.config.sections import Section, Settings

MASK = "***"


def to_toml(settings: Settings) -> str:
    """Return the settings as TOML, with secrets masked."""
    document = tomlkit.document()
    for key, value in settings:
        document[key] = (
            {name: _plain(item) for name, item in value} if isinstance(value, Section) else _plain(value)
        )
    document["engine"]["broker_url"] = _masked(settings.engine.broker_url)
    document["webhook"]["url"] = _masked(settings.webhook.url)
    document["storage"]["endpoint"] = _masked(settings.storage.endpoint)
    return tomlkit.dumps(document)


def _masked(text: str) -> str:
    """Mask the credentials and the query values of a URL."""
    url = yarl.URL(text)
    if url.password is not None:
        url = url.with_password(MASK)
    elif url.user is not None:
        url = url.with_user(MASK)  # a user without a password is a token
    if url.query_string:
        url = url.with_query([(name, MASK) for name in url.query])
    return str(url)


def _plain(value: object) -> object:
    match value:
        case ByteSize():
            return _size_text(value)
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case tuple():
            return [_plain(item) for item in value]
        case IPv4Network() | IPv6Network():
            return str(value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _size_text(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"
