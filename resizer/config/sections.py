"""The sections of config.toml as typed settings, one class per section."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from resizer.config.values import (
    ALL_ADDRESSES,
    BrokerUrl,
    Bucket,
    Count,
    Days,
    Endpoint,
    Flag,
    Hosts,
    Limit,
    Networks,
    Origin,
    Origins,
    Port,
    Prefix,
    Quality,
    Schedule,
    Seconds,
    SigningSecret,
    Size,
    Text,
    Tokens,
    WebhookUrl,
    bracketed,
)
from resizer.recipe import (
    BACKGROUND_EXPECTED,
    WHITE,
    Effort,
    Fit,
    OutputFormat,
    Recipe,
    background_from,
)

ENV_PREFIX = "RESIZER_"
#: images that may be requested from their hosts at once, for each of queue.workers
FETCHERS = 16


class Section(BaseModel):
    """One section of the configuration; unknown keys are errors."""

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
        """The origin of the service according to its configuration; clients cannot influence it."""
        address = self.host
        if address in ALL_ADDRESSES:
            address = ALL_ADDRESSES[address]
        return self.public_url or f"http://{bracketed(address)}:{self.port}"


class QueueSettings(Section):
    workers: Count = 32
    max_pending_images: Count = 2_000_000
    shutdown_grace: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="a number of seconds of 0 or more, such as 20")
    ] = 20

    @property
    def fetchers(self) -> int:
        """Images that may be requested at once; most of them wait for their host."""
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
    bucket: Bucket = ""
    prefix: Prefix = ""
    endpoint: Endpoint = ""
    region: Text = ""
    public_base_url: Origin = ""


class DatabaseSettings(Section):
    path: Text = ""


class WebhookSettings(Section):
    url: WebhookUrl = ""
    secret: SigningSecret = SecretStr("")
    timeout: Seconds = 20
    schedule: Schedule = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    allow_networks: Networks = ()


class EngineSettings(Section):
    kind: Annotated[Literal["local", "celery"], Field(description="local or celery")] = "local"
    broker_url: BrokerUrl = "redis://127.0.0.1:6379/0"


class RetentionSettings(Section):
    days: Days = 0

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
        """Return the base URL of compressed images for a client that uses this origin."""
        return self.storage.public_base_url or f"{origin}/compressed"

    @property
    def spool_folder(self) -> Path:
        return self.data_folder / "spool"
