"""Parameters, headers and links that several operations share, by the name they have in the document."""

from resizer.schemas import Json
from resizer.web.openapi import examples
from resizer.web.openapi.parts import header, or_empty, query
from resizer.web.openapi.schemas import FILE_NAME, UUID

FLAG = or_empty({"type": "string", "enum": ["0", "1", "true", "false"], "default": "0"})

PARAMETERS: dict[str, Json] = {
    "RequestId": {
        "name": "request_id",
        "in": "path",
        "required": True,
        "description": "The `request_id` that the upload was answered with.",
        "schema": {"type": "string", "format": "uuid", "pattern": UUID},
        "example": examples.REQUEST_ID,
    },
    "FileName": {
        "name": "filename",
        "in": "path",
        "required": True,
        "description": "32 hexadecimal digits made of the source's bytes and the options, and an extension.",
        "schema": {"type": "string", "pattern": FILE_NAME},
        "example": examples.FILE_NAME,
    },
    "Number": {
        "name": "number",
        "in": "path",
        "required": True,
        "description": "The image's place in the CSV, from 0: that in the list of all the request's images.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 0,
    },
    "PageFile": {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "The file's name.",
        "schema": {"type": "string", "pattern": r"^[a-z0-9-]+\.(css|csv|js|png|svg)$"},
        "example": "sample.csv",
    },
    "After": query(
        "after",
        "What `next` of the page before says. Pages stay right while requests are added.",
        or_empty({"type": "string", "pattern": r"^(-1|[0-9]{1,18})$"}),
    ),
    "Partial": query("partial", "`1`: what is done so far, where not all is.", FLAG),
    "Detail": query(
        "detail",
        "`1`: further columns `Errors`, `Input Bytes` and `Output Bytes`, slot for slot as the URLs.",
        FLAG,
    ),
}

RETRY_AFTER = header(
    "Seconds after which it is worth asking again.", {"type": "integer", "minimum": 0}, required=False
)
LOCATION = header("The request's `status_url`.", {"type": "string", "format": "uri"})
ETAG = header(
    "Changes when the body does; send it as `If-None-Match`.", {"type": "string", "pattern": '^".+"$'}
)
NO_CACHE = header("Ask again each time.", {"const": "no-cache"})
NOSNIFF = header("It is what its `Content-Type` says.", {"const": "nosniff"})
CONFINED = header("It loads and runs nothing.", {"const": "default-src 'none'; sandbox"})
DISPOSITION = header(
    "The name to save it under, after that of the uploaded CSV (RFC 6266).",
    {"type": "string", "pattern": "^attachment; filename="},
)


def _link(operation: str, description: str) -> Json:
    return {
        "operationId": operation,
        "description": description,
        "parameters": {"request_id": "$response.body#/request_id"},
    }


#: what may be done with the request that an answer tells of
LINKS: dict[str, Json] = {
    "Status": _link("getStatus", "Where it stands."),
    "Result": _link("getResult", "Its result."),
    "Images": _link("listImages", "Its images."),
    "Events": _link("followRequest", "How it comes on."),
    "Archive": _link("getArchive", "Its images in one file."),
    "Cancel": _link("cancelRequest", "Stop it."),
    "Retry": _link("retryRequest", "Try what failed anew."),
    "Delete": _link("deleteRequest", "Forget it."),
    "Deliveries": _link("listDeliveries", "Its webhook events."),
    "SendAgain": _link("sendDeliveriesAgain", "Send its webhook event again."),
}
