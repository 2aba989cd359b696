"""The bodies of answers as JSON schemas: closed, so that nothing undescribed slips into them."""

from enum import StrEnum
from typing import Any

from resizer.errors import ErrorCode
from resizer.models import FINAL, BatchStatus, DeliveryStatus, Effort, Fit, ImageStatus, OutputFormat
from resizer.schemas import Json
from resizer.storage.base import CONTENT_TYPES, EXTENSIONS

#: as the service makes them
UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
FILE_NAME = r"^[0-9a-f]{32}\.(" + "|".join(EXTENSIONS) + ")$"
#: what a compressed image can be, which is more than can be asked for: a small source may be kept as it is
IMAGE_FORMATS = sorted(kind.removeprefix("image/") for kind in CONTENT_TYPES.values())


def closed(description: str, properties: dict[str, Json], *, optional: tuple[str, ...] = ()) -> Json:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def text(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


def count(description: str, **more: Any) -> Json:
    return {"type": "integer", "minimum": 0, "description": description, **more}


def one_of(values: type[StrEnum] | list[str], description: str) -> Json:
    return {"type": "string", "enum": [str(each) for each in values], "description": description}


def time(description: str) -> Json:
    return {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
        "description": f"{description} ISO 8601 in UTC, to the second.",
    }


def url(description: str) -> Json:
    return {"type": "string", "format": "uri", "pattern": "^https?://", "description": description}


def or_null(schema: Json) -> Json:
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(name: str, what: str) -> Json:
    return closed(
        f"One page of {what}.",
        {
            "data": {"type": "array", "items": ref(name), "description": f"The {what} of this page."},
            "has_more": {"type": "boolean", "description": "Whether a further page follows."},
            "next": {
                "type": ["string", "null"],
                "description": "Send it as `after` to get the next page; null on the last one.",
            },
        },
    )


REQUEST_ID = {**text("The request's id."), "format": "uuid", "pattern": UUID}
PRODUCTS = count("Products: rows of the CSV that hold something.")
LINKS = {
    "status_url": url("Where the request's status is told."),
    "result_url": url("Where the result CSV is to be had."),
}

IMAGE_COUNTS = closed(
    "How many images stand where; the last four add up to the first.",
    {
        "total": count("All of the request."),
        **{status.value: count(f"Those with status `{status}`.") for status in ImageStatus},
    },
)
BYTES = closed(
    "Sizes of the completed images, in bytes.",
    {
        "input": count("Of the sources as they were fetched."),
        "output": count("Of the compressed images."),
        "saved": {"type": "integer", "description": "`input` less `output`."},
    },
)
RECIPE = closed(
    "The compression options in force for the request.",
    {
        "quality": count("On Pillow's scale.", minimum=1, maximum=100),
        "format": one_of(OutputFormat, "What images become; `keep`: what they are."),
        "effort": one_of(Effort, "How long encoders search for fewer bytes."),
        "max_width": or_null(count("Pixels; null: no limit.", minimum=1)),
        "max_height": or_null(count("Pixels; null: no limit.", minimum=1)),
        "fit": one_of(Fit, "How images are brought to the limits."),
        "background": or_null(text("`none` or `#rrggbb`; null: white.", pattern="^(none|#[0-9a-f]{6})$")),
    },
)
WEBHOOK_STATE = {
    **closed(
        "How far the request's webhook has come; null without one.",
        {
            "url": or_null(text("Where it goes; null in lists of a server without a login.")),
            "status": one_of(DeliveryStatus, "Where its delivery stands."),
            "attempts": count("Tries so far."),
        },
    ),
    "type": ["object", "null"],
}
STATUS = closed(
    "Where a request stands.",
    {
        "request_id": REQUEST_ID,
        "status": one_of(
            BatchStatus,
            "`completed`: every image was compressed; `partial`: some failed; `failed`: all failed. "
            f"Final are {', '.join(f'`{each}`' for each in BatchStatus if each in FINAL)}.",
        ),
        "done": {"type": "boolean", "description": "Whether the status is final."},
        "filename": text("Name of the CSV as it was uploaded."),
        "products": PRODUCTS,
        "images": IMAGE_COUNTS,
        "bytes": BYTES,
        "recipe": RECIPE,
        "created_at": time("When it was taken in."),
        "started_at": or_null(time("When its first image was begun.")),
        "finished_at": or_null(time("When it became final.")),
        "expires_at": or_null(time("When it and its files are removed; null: never, or not known yet.")),
        **LINKS,
        "images_url": url("Where its images are listed."),
        "archive_url": url("Where a ZIP of its images is to be had."),
        "webhook": WEBHOOK_STATE,
    },
)
ACCEPTED = closed(
    "A request that was taken in: it is on disk and survives a crash of the server.",
    {
        "request_id": REQUEST_ID,
        "status": one_of(BatchStatus, "`pending`; where an `Idempotency-Key` came again, what it is by now."),
        "products": PRODUCTS,
        "images": count("Images: URLs of all products."),
        **LINKS,
        "created_at": time("When it was taken in."),
    },
)
IMAGE_ERROR = {
    **closed(
        "Why the image failed; null unless it did.",
        {
            "code": one_of(ErrorCode, "For programs."),
            "message": text("For a person; names the setting where one would help."),
            "http_status": or_null(
                count("What the image's host answered, where it answered.", minimum=100, maximum=999)
            ),
        },
    ),
    "type": ["object", "null"],
}
IMAGE = closed(
    "One URL of one product, and what became of it.",
    {
        "line": count("Line of the CSV on which the product's row begins, from 1.", minimum=1),
        "serial": text("The product's serial number, as it stands in the CSV."),
        "product_name": text("The product's name."),
        "position": count("Place of the URL in its cell, from 1.", minimum=1),
        "input_url": text("The URL as it stands in the CSV; it need not be a valid one."),
        "status": one_of(ImageStatus, "Where the image stands."),
        "output_url": or_null(url("Where the compressed image is; null unless completed.")),
        "format": or_null(one_of(IMAGE_FORMATS, "What the compressed image is.")),
        "width": or_null(count("Pixels of the compressed image, as a viewer shows it.", minimum=1)),
        "height": or_null(count("Pixels of the compressed image, as a viewer shows it.", minimum=1)),
        "input_bytes": or_null(count("Size of the source.")),
        "output_bytes": or_null(count("Size of the compressed image; never larger than the source's "
                                      "unless another format or size was asked for.")),
        "attempts": count("Tries to fetch it."),
        "error": IMAGE_ERROR,
    },
)  # fmt: skip
ATTEMPT = closed(
    "One try to deliver an event.",
    {
        "at": time("When it began."),
        "http_status": or_null(
            count("What the receiver answered, where it answered.", minimum=100, maximum=999)
        ),
        "error": or_null(text("What went wrong, for a person.")),
        "seconds": {"type": "number", "minimum": 0, "description": "How long it took."},
    },
)
DELIVERY = closed(
    "One webhook event on its way to one URL.",
    {
        "webhook_id": text(
            "The same on every try: receivers count an id once.", pattern="^evt_[0-9a-f]{32}$"
        ),
        "url": text("Where it goes."),
        "status": one_of(DeliveryStatus, "Where it stands."),
        "attempts": {"type": "array", "items": ref("Attempt"), "description": "Every try, oldest first."},
        "next_attempt_at": or_null(time("When it is tried next; null once it is final.")),
    },
)
DELIVERIES = closed(
    "The webhook events of one request.",
    {"data": {"type": "array", "items": ref("Delivery"), "description": "One for each event and URL."}},
)
PING = closed("The server answers.", {"status": {"const": "pong", "description": "Always."}})
HEALTH = closed("All is well.", {"status": {"const": "ok", "description": "Always."}})

SCHEMAS: dict[str, Json] = {
    "Accepted": ACCEPTED,
    "Status": STATUS,
    "StatusPage": page_of("Status", "requests"),
    "Image": IMAGE,
    "ImagePage": page_of("Image", "images"),
    "Delivery": DELIVERY,
    "Deliveries": DELIVERIES,
    "Attempt": ATTEMPT,
    "Ping": PING,
    "Health": HEALTH,
}
