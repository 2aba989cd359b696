"""Sign and verify webhooks by Standard Webhooks 1.0."""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from resizer.config import WebhookSettings, is_signing_secret
from resizer.errors import ConfigError, SignatureError, disk_fault
from resizer.support.atomic_file import create_once, make_folder

SECRET_FILE = "webhook.secret"  # noqa: S105 - its name, not its content
PREFIX = "whsec_"
SECRET_SIZE = 32  # bytes; Standard Webhooks asks for 24 to 64
SIGNED_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")

#: the library's messages, reworded with what to check
_REASONS = {
    "Message timestamp too old": "it is older than 5 minutes; if not, check the clocks of both machines",
    "Message timestamp too new": "it is from more than 5 minutes ahead; check the clocks of both machines",
    "No matching signature found": "its signature does not match; check that sender and receiver have "
    "the same secret, and that nothing changed the body on the way",
}


def load_secret(settings: WebhookSettings, data_folder: Path) -> str:
    """Return the configured secret, else the one in the data folder, which is created at the first start.

    Raises `ConfigError` if the file cannot be created, read or used.
    """
    configured = settings.secret.get_secret_value()
    if configured:
        return configured
    path = data_folder / SECRET_FILE
    try:
        make_folder(path.parent)
        key = base64.b64encode(secrets.token_bytes(SECRET_SIZE)).decode()
        text = create_once(path, f"{PREFIX}{key}", mode=0o600)
    except OSError as error:
        raise ConfigError.of(
            "webhook.secret",
            f"{path} cannot be created or read: {disk_fault(error, path.parent)}",
            "correct that, or set webhook.secret",
        ) from error
    except UnicodeDecodeError:
        text = ""
    if not is_signing_secret(text):
        raise ConfigError.of(
            "webhook.secret",
            f"{path} holds no signing secret",
            "restore its content (whsec_ and base64), or delete the file: the next start creates a new "
            "secret, which every receiver then needs",
        )
    return text


def sign(secret: str, webhook_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the three headers for a body; `timestamp` in seconds since the epoch."""
    # the library reads the digits of any datetime as UTC
    moment = datetime.fromtimestamp(timestamp, tz=UTC)
    signature = Webhook(secret).sign(webhook_id, moment, body)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the payload of a webhook. Raises `SignatureError`."""
    signed = _signed_headers(headers)
    timestamp = signed["webhook-timestamp"]
    # the library reads "1e9" and "1_000.5" too, and verifies another text than the one sent
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise SignatureError("webhook-timestamp is not a whole number of seconds")
    try:
        Webhook(secret).verify(body, signed, json_parse=False)
    except WebhookVerificationError as error:
        raise SignatureError(_REASONS.get(str(error), str(error))) from error
    except ValueError as error:  # no comma, not base64, not ASCII, or a body that is not UTF-8
        raise SignatureError("webhook-signature or the body is malformed") from error
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SignatureError("its body is not JSON") from error
    if not isinstance(payload, dict):
        raise SignatureError("its body is not a JSON object")
    return payload


def _signed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    signed: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key not in SIGNED_HEADERS:
            continue
        # with two webhook-ids one would be verified and the other counted
        if key in signed:
            raise SignatureError(f"the header {key} is repeated")
        signed[key] = value
    for key in SIGNED_HEADERS:
        if not signed.get(key):
            raise SignatureError(f"the header {key} is missing")
    return signed
