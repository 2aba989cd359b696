"""The configuration: config.toml, environment and flags as typed settings."""

from resizer.config.loading import check_exposure, is_loopback, load_settings
from resizer.config.sections import (
    CompressSettings,
    DatabaseSettings,
    EngineSettings,
    FetchSettings,
    LogSettings,
    QueueSettings,
    RetentionSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    WebhookSettings,
)
from resizer.config.values import ALL_ADDRESSES, ANY_ORIGIN, Network, is_signing_secret

__all__ = [
    "ALL_ADDRESSES",
    "ANY_ORIGIN",
    "CompressSettings",
    "DatabaseSettings",
    "EngineSettings",
    "FetchSettings",
    "LogSettings",
    "Network",
    "QueueSettings",
    "RetentionSettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "WebhookSettings",
    "check_exposure",
    "is_loopback",
    "is_signing_secret",
    "load_settings",
]
