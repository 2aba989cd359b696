"""The webhooks that the service sends, described."""

from resizer.models import FINAL, BatchStatus
from resizer.schemas import Json
from resizer.web.openapi import examples
from resizer.web.openapi.parts import answer, sent_header
from resizer.web.openapi.schemas import closed, ref, time

WHAT = {
    BatchStatus.COMPLETED: "every image was compressed",
    BatchStatus.PARTIAL: "some images failed",
    BatchStatus.FAILED: "all images failed",
    BatchStatus.CANCELLED: "it was cancelled",
}
HEADERS = (
    sent_header(
        "webhook-id",
        "The same on every try: count an id once.",
        {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"},
        required=True,
        example=examples.DELIVERY.webhook_id,
    ),
    sent_header(
        "webhook-timestamp",
        "When this try was signed, in seconds since 1970; refuse what is older than 5 minutes.",
        {"type": "string", "pattern": "^[0-9]+$"},
        required=True,
        example="1769860802",
    ),
    sent_header(
        "webhook-signature",
        "`v1,` and the HMAC-SHA256 in base64 of `ID.TIMESTAMP.BODY` with the server's secret "
        "(Standard Webhooks 1.0; every language has a library).",
        {"type": "string", "pattern": "^v1,"},
        required=True,
        example="v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
)


def webhooks() -> Json:
    return {f"request.{status}": {"post": _event(status)} for status in BatchStatus if status in FINAL}


def _event(status: BatchStatus) -> Json:
    kind = f"request.{status}"
    schema = closed(
        "The event.",
        {
            "type": {"const": kind, "description": "The kind of event."},
            "timestamp": time("When the request became final."),
            "data": ref("Status"),
        },
    )
    example = {**examples.EVENT, "type": kind, "data": {**examples.EVENT["data"], "status": status}}
    return {
        "operationId": "on" + status.capitalize(),
        "tags": ["Webhooks"],
        "summary": f"A request has ended: {WHAT[status]}",
        "description": (
            "Sent to the request's `webhook_url`, and to that of the server's configuration. It is written "
            "together with "
            "the final status, so it comes at least once, whatever crashes. Redirects are not followed."
        ),
        "parameters": list(HEADERS),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        },
        "responses": {
            "2XX": answer("Delivered."),
            "410": answer("Not wanted any more: it is not tried again."),
            "default": answer("Tried again by the server's schedule; `Retry-After` is heeded."),
        },
        "security": [],
    }
