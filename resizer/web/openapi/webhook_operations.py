"""Webhook events, and the operations on their deliveries."""

from typing import Final

from resizer.errors import NothingToSend
from resizer.models import FINAL, BatchStatus
from resizer.schemas.fields import Json
from resizer.web.openapi.components import all_schemas
from resizer.web.openapi.examples import DELIVERY, EXAMPLES
from resizer.web.openapi.parts import Operation, json_response, response, sent_header

DELIVERIES: Final = (
    Operation(
        "GET /requests/{request_id}/deliveries",
        "listDeliveries",
        "List webhook deliveries",
        "Lists the webhook events of a request with all attempts to deliver them; none before it is final.",
        responses={200: json_response("The deliveries.", "Deliveries")},
    ),
    Operation(
        "POST /requests/{request_id}/deliveries",
        "sendDeliveriesAgain",
        "Send the webhook event again",
        "Sends the request's event again now, with the same `webhook-id`, whether or not it was delivered.",
        responses={202: json_response("Being sent.", "Deliveries")},
        errors=(NothingToSend,),
    ),
)
MEANINGS: Final = {
    BatchStatus.COMPLETED: "every image was compressed",
    BatchStatus.PARTIAL: "some images failed",
    BatchStatus.FAILED: "all images failed",
    BatchStatus.CANCELLED: "it was cancelled",
}
HEADERS: Final = (
    sent_header(
        "webhook-id",
        "The same for every attempt: process each id once.",
        {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"},
        required=True,
        example=DELIVERY.webhook_id,
    ),
    sent_header(
        "webhook-timestamp",
        "When this attempt was signed, in seconds since 1970; reject one older than 5 minutes.",
        {"type": "string", "pattern": "^[0-9]+$"},
        required=True,
        example="1769860802",
    ),
    sent_header(
        "webhook-signature",
        "`v1,` and the HMAC-SHA256 in base64 of `ID.TIMESTAMP.BODY` with the server's secret (Standard "
        "Webhooks 1.0, which has libraries for all common languages).",
        {"type": "string", "pattern": "^v1,"},
        required=True,
        example="v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
)
RESPONSES: Final = {
    "2XX": response("Delivered."),
    "410": response("No longer wanted: no further attempts."),
    "default": response("Retried by the server's schedule, or after `Retry-After`."),
}


def webhooks() -> Json:
    return {f"request.{status}": {"post": _event(status)} for status in BatchStatus if status in FINAL}


def _event(status: BatchStatus) -> Json:
    schema, example, kind = all_schemas()["Event"], EXAMPLES["Event"], f"request.{status}"
    of_kind = {"const": kind, "description": schema["properties"]["type"]["description"]}
    content = {
        "schema": {**schema, "properties": {**schema["properties"], "type": of_kind}},
        "example": {**example, "type": kind, "data": {**example["data"], "status": status}},
    }
    return {
        "operationId": "on" + status.capitalize(),
        "tags": ["Webhooks"],
        "summary": f"A request has ended: {MEANINGS[status]}",
        "description": "Sent to the request's `webhook_url` and to the `webhook.url` of the server's "
        "configuration. It is stored together with the final status, so it is delivered at least once, "
        "whatever crashes. Redirects are not followed.",
        "parameters": [*HEADERS],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": RESPONSES,
        "security": [],
    }
