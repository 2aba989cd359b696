"""Make the webhook events of a batch that has got its final status."""

import json
import uuid
from collections.abc import Iterator

from resizer.config import Settings, WebhookSettings
from resizer.database import NewDelivery, WebhookEvents
from resizer.models import Batch
from resizer.schemas.fields import Links
from resizer.schemas.request_bodies import status_body, webhook_body
from resizer.schemas.webhook_bodies import event_body
from resizer.webhooks.outbox import receiver_of


def announcer(settings: Settings) -> WebhookEvents:
    """Return what the database calls in the transaction that settles a batch's last image.

    The client of a batch chose the host in its links, so only its own webhook gets these. Links for
    `webhook.url` are made from the configuration alone.
    """
    own_origin = settings.server.own_origin
    own_links = Links(origin=own_origin, files=settings.files_url(own_origin))
    own_receiver = receiver_of(settings.webhook.url) if settings.webhook.url else None

    def announce(batch: Batch) -> Iterator[NewDelivery]:
        assert batch.finished_at is not None  # noqa: S101 - it has just been set
        client_links = Links(origin=batch.origin, files=batch.files_url)
        # one event, so one id, whoever is told of it
        webhook_id = f"evt_{uuid.uuid4().hex}"
        for url in addressees(batch, settings.webhook):
            receiver = receiver_of(url)
            # without an origin there is no client: `resizer run`
            links = own_links if receiver == own_receiver and batch.origin else client_links
            expires_at = batch.expires_at(settings.retention.seconds)
            status = status_body(batch, links, webhook_body(url, None), expires_at)
            yield NewDelivery(
                webhook_id=webhook_id,
                url=url,
                host=receiver,
                body=json.dumps(event_body(batch, status, batch.finished_at), ensure_ascii=False),
                first_attempt_at=batch.finished_at + settings.webhook.schedule[0],
            )

    return announce


def addressees(batch: Batch, settings: WebhookSettings) -> list[str]:
    """Return who is told of a batch, each once: its own webhook first, then the configuration's."""
    return list(dict.fromkeys(url for url in (batch.webhook_url, settings.url) if url))
