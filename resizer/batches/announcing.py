"""Make the webhook events of a batch that has got its final status."""

import json
import uuid
from collections.abc import Iterator

from resizer.bodies import Links, event_body, status_body, webhook_body
from resizer.config import RetentionSettings, WebhookSettings
from resizer.database import Announce, NewDelivery
from resizer.models import Batch
from resizer.webhooks.outbox import receiver_of


def announcer(settings: WebhookSettings, retention: RetentionSettings) -> Announce:
    """Return what the database calls in the transaction that settles a batch's last image."""

    def announce(batch: Batch) -> Iterator[NewDelivery]:
        assert batch.finished_at is not None  # noqa: S101 - it has just been set
        links = Links(origin=batch.origin, files=batch.files_url)
        # one event, so one id, whoever is told of it
        webhook_id = f"evt_{uuid.uuid4().hex}"
        for url in addressees(batch, settings):
            status = status_body(batch, links, webhook_body(url, None), batch.expires_at(retention.seconds))
            yield NewDelivery(
                webhook_id=webhook_id,
                url=url,
                host=receiver_of(url),
                body=json.dumps(event_body(batch, status, batch.finished_at), ensure_ascii=False),
                first_attempt_at=batch.finished_at + settings.schedule[0],
            )

    return announce


def addressees(batch: Batch, settings: WebhookSettings) -> list[str]:
    """Return who is told of a batch, each once: its own webhook first, then the configuration's."""
    return list(dict.fromkeys(url for url in (batch.webhook_url, settings.url) if url))
