"""Operations that follow and control requests."""

from typing import Final

from resizer.errors import AlreadyFinal, NothingToRetry, OptionError
from resizer.models import BatchStatus, ImageStatus
from resizer.schemas.fields import Json
from resizer.web.api.parameters import LONGEST_WAIT
from resizer.web.api.requests import IMAGES_PAGE, REQUESTS_PAGE
from resizer.web.openapi.parts import (
    AFTER,
    ETAG,
    IF_NONE_MATCH,
    LOCATION,
    NO_CACHE,
    RETRY_AFTER,
    TO_LINKS,
    Operation,
    header,
    json_response,
    query,
    response,
    sent_header,
)

STATUS_HEADERS: Final = {
    "Cache-Control": NO_CACHE,
    "ETag": ETAG,
    "Retry-After": RETRY_AFTER,
    "Preference-Applied": header(
        "The granted wait.", {"type": "string", "pattern": r"^wait=[0-9]{1,2}$"}, required=False
    ),
}
ACCEPTED_HEADERS: Final = {"Location": LOCATION, "Retry-After": RETRY_AFTER}
#: one event of the stream
EVENT: Final[Json] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["progress", "done"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Status"},
            "description": "The status.",
        },
        "id": {"type": "string", "description": "With `done`: identifies this end of the request."},
        "retry": {"type": "integer", "description": "Milliseconds until a browser reconnects."},
    },
    "required": ["event", "data"],
    "additionalProperties": False,
}
EVENTS_EXAMPLE: Final = (
    'event: progress\ndata: {"request_id": "…", "done": false, …}\n\n'
    'id: done-1769860802.0\nevent: done\ndata: {"request_id": "…", "done": true, …}\n\n'
)


def _limit(default: int, most: int) -> Json:
    description = f"Entries per page: {default} by default, {most} at most; more counts as {most}."
    return query("limit", description, {"type": "integer", "minimum": 1, "default": default})


def _status(statuses: type[BatchStatus | ImageStatus]) -> Json:
    return query("status", "List only those with this status.", {"type": "string", "enum": [*statuses]})


REQUESTS: Final = (
    Operation(
        "GET /status/{request_id}",
        "getStatus",
        "Get a request's status",
        "Counts the images by status, and says whether the request's status is final.\n\n"
        f"With `Prefer: wait=N` the response waits up to N seconds, {LONGEST_WAIT} at most, for a final "
        "status: one call instead of many. With `If-None-Match` an unchanged status is a 304.",
        parameters=(
            sent_header(
                "Prefer",
                f"`wait=N`: wait up to N seconds, {LONGEST_WAIT} at most (RFC 7240). Other preferences are "
                "ignored.",
                example="wait=10",
            ),
            IF_NONE_MATCH,
        ),
        responses={
            200: json_response("The status.", "Status", headers=STATUS_HEADERS, links=TO_LINKS),
            304: response("The status is unchanged.", headers=STATUS_HEADERS),
        },
    ),
    Operation(
        "GET /requests",
        "listRequests",
        "List requests",
        "Lists all requests, newest first.",
        parameters=(_status(BatchStatus), _limit(*REQUESTS_PAGE), AFTER),
        responses={
            200: json_response(
                "A page of requests.",
                "StatusPage",
                links={
                    "Next": {"operationId": "listRequests", "parameters": {"after": "$response.body#/next"}}
                },
            )
        },
        errors=(OptionError,),
    ),
    Operation(
        "GET /requests/{request_id}/images",
        "listImages",
        "List a request's images",
        "Lists the images of a request and their results, in the order of the CSV.",
        parameters=(_status(ImageStatus), _limit(*IMAGES_PAGE), AFTER),
        responses={200: json_response("A page of images.", "ImagePage")},
        errors=(OptionError,),
    ),
    Operation(
        "GET /requests/{request_id}/events",
        "followRequest",
        "Follow a request",
        "Sends server-sent events: `progress` at once and after each change, at most 4 a second; then "
        "`done`, which ends the stream. The data of each event is the status, as in `GET "
        "/status/{request_id}`. A stream "
        "that ends without `done` was interrupted, for example by a restart: reconnect.",
        parameters=(
            sent_header(
                "Last-Event-ID", "The id of the last event received; browsers send it automatically."
            ),
        ),
        responses={
            200: response(
                "The stream.",
                {"text/event-stream": {"schema": EVENT, "example": EVENTS_EXAMPLE}},
                headers={"Cache-Control": header("Caches must not store it.")},
            ),
            204: response("`Last-Event-ID` is that of this request's `done`: no events follow."),
        },
    ),
    Operation(
        "POST /requests/{request_id}/cancel",
        "cancelRequest",
        "Cancel a request",
        "Pending images and those being processed become `cancelled`; compressed images are kept.",
        responses={202: json_response("Being cancelled. Its status.", "Status", headers=ACCEPTED_HEADERS)},
        errors=(AlreadyFinal,),
    ),
    Operation(
        "POST /requests/{request_id}/retry",
        "retryRequest",
        "Retry failed images",
        "Retries only failed and cancelled images; compressed images are kept.",
        responses={202: json_response("Being retried. Its status.", "Status", headers=ACCEPTED_HEADERS)},
        errors=(NothingToRetry,),
    ),
    Operation(
        "DELETE /requests/{request_id}",
        "deleteRequest",
        "Delete a request",
        "Cancels its unfinished images, and deletes the request and the compressed images that no other "
        "request uses.",
        responses={204: response("Deleted.")},
    ),
)
