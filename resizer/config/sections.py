"""The sections of config.toml as typed settings, one class a component."""

import base64
import re
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import yarl
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from resizer.recipe import (
    BACKGROUND_EXPECTED,
    WHITE,
    Effort,
    Fit,
    OutputFormat,
    Recipe,
    background_from,
)
from resizer.support.cross_site import ANY_HOST, Authority, host_of

ENV_PREFIX = "RESIZER_"
Network = IPv4Network | IPv6Network
#: address that stands for all of the machine → loopback address to reach it from the machine itself
ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
#: in server.cors_origins: all of them
ANY_ORIGIN = "*"


def _listed(value: object) -> object:
    """Split the text of an environment variable: a TOML list, or items between commas."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from error


def _number(value: object) -> object:
    # `true` is 1 to Python
    if isinstance(value, bool):
        raise ValueError("it is no number")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def _network(value: object) -> object:
    # `10.0.0.1/8` names the same network as `10.0.0.0/8`
    return ip_network(value, strict=False) if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not value:
        return value
    # yarl passes over white space before a URL, which a result's cell would begin with
    if not value.isprintable() or " " in value:
        raise ValueError("it holds white space or control characters")
    url = yarl.URL(value)
    if url.scheme not in {"http", "https"} or not url.host or url.query_string or url.fragment:
        raise ValueError("it is no http or https URL without a query")
    return value.rstrip("/")


def _page_origin(value: str) -> str:
    """Return an origin as browsers write it."""
    if value == ANY_ORIGIN:
        return value
    url = yarl.URL(_origin(value))
    named = url.raw_host and "*" not in url.raw_host
    if not named or url.path != "/" or url.user is not None or url.password is not None:
        raise ValueError("it is no scheme://host or scheme://host:port")
    return str(url.origin()).lower()


def _allowed_host(value: str) -> str:
    """Return a host as it is compared."""
    if value == ANY_HOST:
        return value
    authority = Authority.of(value)
    host = host_of(value) if authority is None or authority.port is None else None
    if not host:
        # an international name, in the form that clients send, or a URL
        named = yarl.URL(value if "://" in value else f"//{value}")
        host = host_of(named.raw_host or "")
        if not host:
            raise ValueError("it is no host name or IP address")
        if value.lower().removesuffix(".") != named.host:
            raise ValueError(f"of it only the host counts: {_bracketed(host)!r}")
    return _bracketed(host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _allowed_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    if ANY_HOST in value and len(value) > 1:
        raise ValueError("'*' is every host already")
    return value


def _page_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if ANY_ORIGIN in value and len(value) > 1:
        raise ValueError("'*' is every origin already")
    return value


def _webhook_url(value: str) -> str:
    if value:
        url = yarl.URL(value)
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("it is no http or https URL")
    return value


def is_signing_secret(text: str) -> bool:
    """Tell whether a text is whsec_ and base64 of at least one byte."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:  # binascii's, and that of characters beyond ASCII
        return False
    return text.startswith("whsec_") and bool(key)


def _signing_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not is_signing_secret(text):
        raise ValueError("it is not whsec_ and base64")
    return value


def _broker_url(value: str) -> str:
    url = yarl.URL(value)
    if url.scheme not in {"redis", "rediss"} or not url.host:
        raise ValueError("it is no redis:// or rediss:// URL")
    if not re.fullmatch(r"/?\d*", url.path):
        raise ValueError("after the host stands the number of a database, such as /0")
    return value


def _endpoint(value: str) -> str:
    value = _origin(value)
    url = yarl.URL(value)
    # it is told in messages, which clients see
    if url.user is not None or url.password is not None:
        raise ValueError("it holds a login; credentials are taken from the provider's variables")
    return value


def _bucket(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value, re.ASCII):
        raise ValueError("it holds what no bucket's name holds; what comes below it is storage.prefix")
    return value


def _prefix(value: str) -> str:
    parts = value.strip("/").split("/")
    if value.strip("/") and any(part in {"", ".", ".."} for part in parts):
        raise ValueError("none of its parts may be empty, '.' or '..'")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or any(character.isspace() for character in text):
        raise ValueError("a token is empty, or holds white space or characters beyond ASCII")
    return value


Seconds = Annotated[
    float,
    BeforeValidator(_number),
    # more than four months are a mistake, and beyond what timers can take
    Field(gt=0, le=1e7, allow_inf_nan=False, description="a number of seconds above 0, such as 30"),
]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1, description="a whole number of 1 or more")]
Limit = Annotated[int, BeforeValidator(_number), Field(ge=0, description="a whole number of 0 or more")]
Port = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=0, le=65535, description="a port from 0 to 65535; 0 takes a free one"),
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
    AfterValidator(_page_origins),
    Field(description='a list of origins such as ["https://shop.example.com"], or ["*"] for all'),
]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_allowed_host)], ...],
    BeforeValidator(_listed),
    AfterValidator(_allowed_hosts),
    Field(description='a list of hosts such as ["images.example.com"], or ["*"] for all'),
]
Tokens = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_token)], ...],
    BeforeValidator(_listed),
    Field(description='a list of texts without white space such as ["a-long-random-token"]'),
]

#: images that may be asked for at once, as a multiple of queue.workers
FETCHERS = 16


class Section(BaseModel):
    """One section of the configuration: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    host: Annotated[str, Field(min_length=1, description="a host name or address such as 127.0.0.1")] = (
        "127.0.0.1"
    )
    port: Port = 8080
    public_url: Origin = ""
    api_tokens: Tokens = ()
    allow_anonymous: Flag = False
    max_upload_size: Size = ByteSize(100_000_000)
    request_timeout: Seconds = 30
    max_connections: Count = 1000
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()
    allowed_hosts: Hosts = ()

    @property
    def own_origin(self) -> str:
        """The origin of the service by its configuration alone; clients have no influence on it."""
        address = self.host
        if address in ALL_ADDRESSES:
            address = ALL_ADDRESSES[address]
        return self.public_url or f"http://{_bracketed(address)}:{self.port}"


class QueueSettings(Section):
    workers: Count = 32
    max_pending_images: Count = 2_000_000
    shutdown_grace: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="a number of seconds of 0 or more, such as 20")
    ] = 20

    @property
    def fetchers(self) -> int:
        """How many images may be asked for at once; most of them wait for their host."""
        return FETCHERS * self.workers


class FetchSettings(Section):
    timeout: Seconds = 30
    connect_timeout: Seconds = 5
    retries: Limit = 3
    per_host: Count = 8
    max_size: Size = ByteSize(25_000_000)
    max_redirects: Limit = 5
    allow_networks: Networks = ()
    user_agent: Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", description="a text of printable ASCII")] = ""
    revalidate: Flag = True


class CompressSettings(Section):
    quality: Quality = 50
    format: Annotated[OutputFormat, Field(description="one of " + ", ".join(OutputFormat))] = (
        OutputFormat.KEEP
    )
    max_width: Limit = 0
    max_height: Limit = 0
    fit: Annotated[Fit, Field(description="one of " + ", ".join(Fit))] = Fit.INSIDE
    background: Annotated[str, AfterValidator(background_from), Field(description=BACKGROUND_EXPECTED)] = (
        WHITE
    )
    effort: Annotated[Effort, Field(description="one of " + ", ".join(Effort))] = Effort.BALANCED
    max_pixels: Count = 50_000_000
    processes: Limit = 0
    timeout: Seconds = 30

    def recipe(self) -> Recipe:
        return Recipe(
            quality=self.quality,
            format=self.format,
            effort=self.effort,
            max_width=self.max_width,
            max_height=self.max_height,
            fit=self.fit,
            background=self.background,
        )


class StorageSettings(Section):
    kind: Annotated[Literal["local", "s3", "gcs", "azure"], Field(description="local, s3, gcs or azure")] = (
        "local"
    )
    path: Text = ""
    bucket: Annotated[
        str,
        AfterValidator(_bucket),
        Field(description="a bucket's name of letters, digits, '.', '-' and '_'"),
    ] = ""
    prefix: Annotated[
        str, AfterValidator(_prefix), Field(description="a path within the bucket such as shop/images")
    ] = ""
    endpoint: Annotated[
        str,
        AfterValidator(_endpoint),
        Field(description="the http or https address of a store, without a login, or empty"),
    ] = ""
    region: Text = ""
    public_base_url: Origin = ""


class DatabaseSettings(Section):
    path: Text = ""


class WebhookSettings(Section):
    url: Annotated[str, AfterValidator(_webhook_url), Field(description="an http or https URL, or empty")] = (
        ""
    )
    secret: Annotated[
        SecretStr, AfterValidator(_signing_secret), Field(description="whsec_ and base64, or empty")
    ] = SecretStr("")
    timeout: Seconds = 20
    schedule: Annotated[
        tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...],
        BeforeValidator(_listed),
        Field(min_length=1, description="a list of seconds such as [0, 5, 300]"),
    ] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    allow_networks: Networks = ()


class EngineSettings(Section):
    kind: Annotated[Literal["local", "celery"], Field(description="local or celery")] = "local"
    broker_url: Annotated[
        str,
        AfterValidator(_broker_url),
        Field(description="a redis:// or rediss:// address such as redis://127.0.0.1:6379/0"),
    ] = "redis://127.0.0.1:6379/0"


class RetentionSettings(Section):
    days: Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number of days of 0 or more")] = 0

    @property
    def seconds(self) -> float:
        return self.days * 86400


class LogSettings(Section):
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
        Field(description="debug, info, warning or error"),
    ] = "info"
    format: Annotated[Literal["text", "json"], Field(description="text or json")] = "text"


class Settings(BaseSettings):
    """The whole configuration; built by `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
    )

    data_dir: Annotated[str, Field(min_length=1, description="the path of a folder")] = "data"
    server: ServerSettings = ServerSettings()
    queue: QueueSettings = QueueSettings()
    fetch: FetchSettings = FetchSettings()
    compress: CompressSettings = CompressSettings()
    storage: StorageSettings = StorageSettings()
    database: DatabaseSettings = DatabaseSettings()
    webhook: WebhookSettings = WebhookSettings()
    engine: EngineSettings = EngineSettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()

    @property
    def data_folder(self) -> Path:
        return Path(self.data_dir)

    @property
    def database_file(self) -> Path:
        return Path(self.database.path) if self.database.path else self.data_folder / "resizer.db"

    @property
    def storage_folder(self) -> Path:
        return Path(self.storage.path) if self.storage.path else self.data_folder / "compressed"

    def files_url(self, origin: str) -> str:
        """Return the URL below which a client that uses this origin finds compressed images."""
        return self.storage.public_base_url or f"{origin}/compressed"

    @property
    def spool_folder(self) -> Path:
        return self.data_folder / "spool"
