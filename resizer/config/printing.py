"""Print the configuration in force as TOML."""

from ipaddress import IPv4Network, IPv6Network

import tomlkit
import yarl
from pydantic import ByteSize, SecretStr

from resizer.config.sections import Section, Settings

MASK = "***"


def to_toml(settings: Settings) -> str:
    """Return the settings as a TOML text, its secrets masked."""
    document = tomlkit.document()
    for key, value in settings:
        document[key] = (
            {name: _plain(item) for name, item in value} if isinstance(value, Section) else _plain(value)
        )
    engine = document["engine"]
    url = yarl.URL(settings.engine.broker_url)
    if url.password:
        engine["broker_url"] = str(url.with_password(MASK))
    return tomlkit.dumps(document)


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
