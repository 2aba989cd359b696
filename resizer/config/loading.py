"""Load the configuration from file, environment and flags, and explain its errors."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from resizer.config.printing import MASK
from resizer.config.sections import ENV_PREFIX, CompressSettings, Section, ServerSettings, Settings
from resizer.config.values import ANY_ORIGIN
from resizer.errors import ConfigError, WrongKey
from resizer.support.cross_site import ANY_HOST

DEFAULT_FILE = Path("config.toml")
#: keys whose values are never printed; the secrets of a URL are its credentials and query
SECRET_KEYS = frozenset(
    {"server.api_tokens", "webhook.secret", "webhook.url", "engine.broker_url", "storage.endpoint"}
)
#: variables with the prefix that are not keys of the configuration
OTHER_VARIABLES = frozenset({"RESIZER_TOKEN", "RESIZER_FAILPOINT"})


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Load the configuration: flags override the environment, which overrides the file.

    Without `file`, read `config.toml` in the working directory if it exists. `overrides` has the shape of
    the file. Raises `ConfigError` with every wrong key.
    """
    written = _read(file)

    class Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, _FileSource(settings_cls, written)

    unknown = [*_unknown_variables()]
    if unknown:
        raise ConfigError(*unknown)
    try:
        settings = Sources(**(overrides or {}))
    except ValidationError as error:
        raise ConfigError(*map(_wrong_key, error.errors(include_url=False))) from error
    _check_box(settings.compress)
    return settings


def _check_box(settings: CompressSettings) -> None:
    """Refuse a fit that every request without options of its own would fail with."""
    if fault := settings.recipe().box_fault(settings.max_pixels):
        raise ConfigError.of("compress.fit", f"{str(settings.fit)!r} is invalid", fault)


def check_exposure(settings: ServerSettings) -> None:
    """Refuse to serve other machines without a login. Raises `ConfigError`."""
    if ANY_HOST in settings.allowed_hosts and not settings.api_tokens:
        raise ConfigError.of(
            "server.allowed_hosts",
            "'*' lets every page in a browser on this machine use the service, and no login is set",
            "list the names of this server, or set server.api_tokens",
        )
    if settings.api_tokens or settings.allow_anonymous:
        return
    if ANY_ORIGIN in settings.cors_origins:
        raise ConfigError.of(
            "server.cors_origins",
            "'*' lets every page in a browser on this machine use the service, and no login is set",
            "list the origins, or set server.api_tokens, or server.allow_anonymous = true if anyone may",
        )
    if is_loopback(settings.host):
        return
    raise ConfigError.of(
        "server.host",
        f"{settings.host} is reachable from other machines, and no login is set",
        "set server.api_tokens, or server.allow_anonymous = true if anyone may use the service, "
        "or listen on 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _FileSource(PydanticBaseSettingsSource):
    """The values of the file, unchanged."""

    def __init__(self, settings_cls: type[BaseSettings], written: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._written = written

    def get_field_value(self, field: object, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self._written.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._written


def _read(file: Path | None) -> dict[str, Any]:
    if file is None and not DEFAULT_FILE.exists():
        return {}
    path = file or DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError.of("--config", f"there is no file {path}", "name one that exists") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of("--config", f"cannot read {path}: {error}", "name a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError.of(
            "--config", f"{path} is not valid TOML: {error}", "correct that line; texts need quotes"
        ) from error


def _unknown_variables() -> Iterable[WrongKey]:
    """Yield variables with the prefix but an unknown first part, which pydantic-settings ignores."""
    for name in os.environ:
        if not name.upper().startswith(ENV_PREFIX) or name.upper() in OTHER_VARIABLES:
            continue
        parts = name[len(ENV_PREFIX) :].lower().split("__")
        if parts[0] not in Settings.model_fields:
            key = ".".join(parts)
            yield WrongKey(key=key, problem=f"the variable {name} does not name a key", remedy=_nearest(key))


def _known_keys() -> list[str]:
    keys = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [f"{name}.{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys


def _nearest(key: str) -> str:
    known = _known_keys()
    # a key in the wrong section has the same last part
    same_name = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    near = same_name or difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]}?" if near else "see docs/configuration.md for every key"


def _wrong_key(error: Mapping[str, Any]) -> WrongKey:
    location = [part for part in error["loc"] if isinstance(part, str)]
    key = ".".join(location[:2])
    if error["type"] == "extra_forbidden":
        return WrongKey(key=".".join(location), problem="unknown key", remedy=_nearest(key))
    expected = _description(location[:2])
    if expected is None:
        return WrongKey(key=key, problem="not a section", remedy=f"write its keys below [{key}]")
    # only the project's own validators raise value_error; other messages are those of pydantic
    reason = f" ({error['ctx']['error']})" if error["type"] == "value_error" else ""
    # a reason may quote the value
    shown = f"{MASK} is invalid" if key in SECRET_KEYS else f"{error['input']!r} is invalid{reason}"
    return WrongKey(key=key, problem=shown, remedy=f"expected {expected}")


def _description(location: list[str]) -> str | None:
    field = Settings.model_fields[location[0]]
    section = field.annotation
    if isinstance(section, type) and issubclass(section, Section):
        if len(location) == 1:
            return None
        field = section.model_fields[location[1]]
    return field.description or next(
        (item.description for item in get_args(field.annotation) if hasattr(item, "description")), "a value"
    )
