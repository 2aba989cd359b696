"""The JSON of webhook events and of their delivery."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from resizer.models import Batch, Delivery, DeliveryStatus
from resizer.schemas.fields import HttpStatus, Time, doc, iso, iso_or_null
from resizer.schemas.request_bodies import StatusBody

WebhookId = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^evt_[0-9a-f]{32}$"})]


class AttemptBody(TypedDict):
    """One attempt to deliver an event."""

    at: Annotated[Time, doc("When it began.")]
    http_status: Annotated[HttpStatus | None, doc("Status of the receiver's response, if there was one.")]
    error: Annotated[str | None, doc("Why it failed, for people.")]
    seconds: Annotated[float, Field(ge=0), doc("How long it took.")]


class DeliveryBody(TypedDict):
    """The delivery of one webhook event to one URL."""

    webhook_id: Annotated[WebhookId, doc("The same for every attempt: process each id once.")]
    url: Annotated[str, doc("Destination.")]
    status: Annotated[DeliveryStatus, doc("Progress of the delivery.")]
    attempts: Annotated[list[AttemptBody], doc("Every attempt, oldest first.")]
    next_attempt_at: Annotated[Time | None, doc("When it is attempted next; null once it is final.")]


class DeliveriesBody(TypedDict):
    """The webhook events of one request."""

    data: Annotated[list[DeliveryBody], doc("One for each event and URL.")]


class EventBody(TypedDict):
    """A webhook event."""

    type: Annotated[str, doc("The kind of event.")]
    timestamp: Annotated[Time, doc("When the request's status became final.")]
    data: StatusBody


def deliveries_body(deliveries: Sequence[Delivery]) -> DeliveriesBody:
    return {"data": [_delivery_body(delivery) for delivery in deliveries]}


def _delivery_body(delivery: Delivery) -> DeliveryBody:
    return {
        "webhook_id": delivery.webhook_id,
        "url": delivery.url,
        "status": delivery.status,
        "attempts": [
            {
                "at": iso(attempt.at),
                "http_status": attempt.http_status,
                "error": attempt.error,
                "seconds": round(attempt.seconds, 3),
            }
            for attempt in delivery.attempts
        ],
        "next_attempt_at": iso_or_null(delivery.next_attempt_at),
    }


def event_body(batch: Batch, status: StatusBody, at: float) -> EventBody:
    """Return the event of a batch whose status became final at `at`."""
    return {"type": f"request.{batch.status}", "timestamp": iso(at), "data": status}
