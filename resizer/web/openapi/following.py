"""What may be asked of requests and done to them, described."""

from resizer.errors import AlreadyFinal, BatchNotFound, NothingToRetry, NothingToSend, OptionError
from resizer.models import BatchStatus, ImageStatus
from resizer.web.api.parameters import LONGEST_WAIT
from resizer.web.api.requests import IMAGES_PAGE, REQUESTS_PAGE
from resizer.web.openapi import examples
from resizer.web.openapi.parts import (
    Operation,
    answer,
    as_json,
    header,
    links_to,
    or_empty,
    parameter_ref,
    query,
    sent_header,
)
from resizer.web.openapi.schemas import ref
from resizer.web.openapi.shared import ETAG, LINKS, LOCATION, NO_CACHE, RETRY_AFTER

ID = parameter_ref("RequestId")
#: one event of the stream
EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["progress", "done"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": ref("Status"),
            "description": "The status.",
        },
        "id": {"type": "string", "description": "With `done`: names this end of the request."},
        "retry": {"type": "integer", "description": "Milliseconds after which a browser asks again."},
    },
    "required": ["event", "data"],
    "additionalProperties": False,
}
STATUS_HEADERS = {
    "Cache-Control": NO_CACHE,
    "ETag": ETAG,
    "Retry-After": RETRY_AFTER,
    "Preference-Applied": header(
        "The wait that was granted.", {"type": "string", "pattern": r"^wait=[0-9]{1,2}$"}, required=False
    ),
}


def _limit(default: int, most: int) -> dict[str, object]:
    return query(
        "limit",
        f"How many a page has: {default} unless said, {most} at most; more counts as {most}.",
        or_empty({"type": "integer", "minimum": 1, "default": default}),
    )


STATUS = Operation(
    method="get",
    path="/status/{request_id}",
    name="getStatus",
    tag="Requests",
    summary="Where a request stands",
    description=(
        "Tells how many images are done and whether the request is final.\n\n"
        f"With `Prefer: wait=N` the answer waits up to N seconds, {LONGEST_WAIT} at most, for a final "
        f"status: one "
        "call instead of many. With `If-None-Match` an unchanged status is answered 304."
    ),
    parameters=(
        ID,
        sent_header(
            "Prefer",
            f"`wait=N`: wait up to N seconds, {LONGEST_WAIT} at most (RFC 7240). Anything else is ignored.",
            {"type": "string"},
            example="wait=10",
        ),
        sent_header("If-None-Match", "The `ETag` of the status that is known.", {"type": "string"}),
    ),
    answers={
        200: answer(
            "The status.", as_json("Status", examples.STATUS), headers=STATUS_HEADERS, **links_to(*LINKS)
        ),
        304: answer("Nothing has changed.", headers=STATUS_HEADERS),
    },
    errors=(BatchNotFound,),
)
LIST = Operation(
    method="get",
    path="/requests",
    name="listRequests",
    tag="Requests",
    summary="List requests",
    description="Every request, newest first.",
    parameters=(
        query(
            "status",
            "Only those with this status; empty: all.",
            or_empty({"type": "string", "enum": [str(each) for each in BatchStatus]}),
        ),
        _limit(*REQUESTS_PAGE),
        parameter_ref("After"),
    ),
    answers={
        200: answer(
            "A page of requests.",
            as_json("StatusPage", examples.STATUS_PAGE),
            links={
                "Next": {
                    "operationId": "listRequests",
                    "description": "The next page.",
                    "parameters": {"after": "$response.body#/next"},
                }
            },
        )
    },
    errors=(OptionError,),
)
IMAGES = Operation(
    method="get",
    path="/requests/{request_id}/images",
    name="listImages",
    tag="Requests",
    summary="List a request's images",
    description="Each image of a request and what became of it, in the order of the CSV.",
    parameters=(
        ID,
        query(
            "status",
            "Only those with this status; empty: all.",
            or_empty({"type": "string", "enum": [str(each) for each in ImageStatus]}),
        ),
        _limit(*IMAGES_PAGE),
        parameter_ref("After"),
    ),
    answers={200: answer("A page of images.", as_json("ImagePage", examples.IMAGE_PAGE))},
    errors=(BatchNotFound, OptionError),
)
EVENTS = Operation(
    method="get",
    path="/requests/{request_id}/events",
    name="followRequest",
    tag="Requests",
    summary="Follow a request",
    description=(
        "Server-sent events: `progress` at once and whenever something has changed, at most 4 a second; then "
        "`done`, after which the stream ends. The data of each is the status, as `GET "
        "/status/{request_id}` tells "
        "it. A stream that ends without `done` was cut off, by a restart of the server say: ask again."
    ),
    parameters=(
        ID,
        sent_header(
            "Last-Event-ID",
            "The id of the last event seen; browsers send it by themselves.",
            {"type": "string"},
        ),
    ),
    answers={
        200: answer(
            "The stream.",
            {
                "text/event-stream": {
                    "schema": EVENT,
                    "example": 'event: progress\ndata: {"request_id": "…", "done": false, …}\n\n'
                    'id: done-1769860802.0\nevent: done\ndata: {"request_id": "…", "done": true, …}\n\n',
                }
            },
            headers={"Cache-Control": header("Never to be kept.", {"type": "string"})},
        ),
        204: answer("`Last-Event-ID` is that of this request's `done`: there is nothing further to tell."),
    },
    errors=(BatchNotFound,),
)
CANCEL = Operation(
    method="post",
    path="/requests/{request_id}/cancel",
    name="cancelRequest",
    tag="Requests",
    summary="Cancel a request",
    description=("Images that wait or are under way become `cancelled`; what is compressed stays."),
    parameters=(ID,),
    answers={
        202: answer(
            "It is being cancelled; the status as it is now.",
            as_json("Status", examples.STATUS),
            headers={"Location": LOCATION, "Retry-After": RETRY_AFTER},
        )
    },
    errors=(BatchNotFound, AlreadyFinal),
)
RETRY = Operation(
    method="post",
    path="/requests/{request_id}/retry",
    name="retryRequest",
    tag="Requests",
    summary="Try again what failed",
    description="Only failed and cancelled images are tried again; what is compressed stays.",
    parameters=(ID,),
    answers={
        202: answer(
            "They are tried again; the status as it is now.",
            as_json("Status", examples.STATUS),
            headers={"Location": LOCATION, "Retry-After": RETRY_AFTER},
        )
    },
    errors=(BatchNotFound, NothingToRetry),
)
DELETE = Operation(
    method="delete",
    path="/requests/{request_id}",
    name="deleteRequest",
    tag="Requests",
    summary="Delete a request",
    description="Cancels what is left of it, forgets it, and removes compressed images that no other "
    "request uses.",
    parameters=(ID,),
    answers={204: answer("It is gone.")},
    errors=(BatchNotFound,),
)
DELIVERIES = Operation(
    method="get",
    path="/requests/{request_id}/deliveries",
    name="listDeliveries",
    tag="Webhooks",
    summary="List webhook deliveries",
    description="The webhook events of a request with every try to deliver them; none before it is final.",
    parameters=(ID,),
    answers={200: answer("The deliveries.", as_json("Deliveries", examples.DELIVERIES))},
    errors=(BatchNotFound,),
)
SEND_AGAIN = Operation(
    method="post",
    path="/requests/{request_id}/deliveries",
    name="sendDeliveriesAgain",
    tag="Webhooks",
    summary="Send the webhook event again",
    description="Sends the request's event again now, with the same `webhook-id`, however its delivery has "
    "ended.",
    parameters=(ID,),
    answers={202: answer("It is on its way.", as_json("Deliveries", examples.DELIVERIES))},
    errors=(BatchNotFound, NothingToSend),
)
FOLLOWING = (STATUS, LIST, IMAGES, EVENTS, CANCEL, RETRY, DELETE, DELIVERIES, SEND_AGAIN)
