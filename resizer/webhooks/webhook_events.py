"""Create the webhook events of a batch whose status has become final."""

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


def webhook_events(settings: Settings) -> WebhookEvents:
    """Return the function that the database calls in the transaction that records a batch's last image.

    The client of a batch determined the host in the batch's links, so only its own webhook receives them.
    Links for `webhook.url` use the configuration alone.
    """
    own_origin = settings.server.own_origin
    own_links = Links(origin=own_origin, files=settings.files_url(own_origin))
    own_receiver = receiver_of(settings.webhook.url) if settings.webhook.url else None

    def events(batch: Batch) -> Iterator[NewDelivery]:
        assert batch.finished_at is not None  # noqa: S101 - the transaction has just set it
        client_links = Links(origin=batch.origin, files=batch.files_url)
        # one event, so one id for all of its receivers
        webhook_id = f"evt_{uuid.uuid4().hex}"
        for url in receivers(batch, settings.webhook):
            receiver = receiver_of(url)
            # `resizer run` has no origin, and no client either
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

    return events


def receivers(batch: Batch, settings: WebhookSettings) -> list[str]:
    """Return the URLs to notify of a batch, each once: the batch's own first, then the configuration's."""
    return list(dict.fromkeys(url for url in (batch.webhook_url, settings.url) if url))
