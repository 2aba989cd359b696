"""`POST /upload` described."""

from resizer.errors import (
    BodyTooSlow,
    CatalogError,
    DatabaseFailure,
    IdempotencyConflict,
    NoSpace,
    OptionError,
    QueueFull,
    SpoolFailure,
    UnsupportedBody,
    UnsupportedEncoding,
    UploadError,
    UploadTooLarge,
)
from resizer.models import Effort, Fit, OutputFormat
from resizer.recipe import BACKGROUND
from resizer.schemas import Json
from resizer.web.api.parameters import LONGEST_KEY, MAX_SIDE
from resizer.web.openapi import examples
from resizer.web.openapi.parts import (
    Operation,
    answer,
    as_json,
    header,
    links_to,
    or_empty,
    query,
    sent_header,
)
from resizer.web.openapi.shared import LINKS, LOCATION

OPTIONS: dict[str, tuple[str, Json]] = {
    "webhook_url": (
        "Where the request's end is to be told: an `http` or `https` URL of a public address.",
        {"type": "string", "format": "uri", "examples": [examples.WEBHOOK_URL]},
    ),
    "quality": (
        "Quality on Pillow's scale, 1 to 100. PNG below 100 is reduced to at most 256 colours.",
        {"type": "integer", "minimum": 1, "maximum": 100},
    ),
    "format": (
        "What images become. `keep`: what they are; BMP, TIFF, HEIC become JPEG, or PNG with transparency.",
        {"type": "string", "enum": [str(each) for each in OutputFormat]},
    ),
    "effort": (
        (
            "`small`: fewer bytes at the same look for more time; `fast`: the other way round. Very large "
            "images take a faster one than asked for."
        ),
        {"type": "string", "enum": [str(each) for each in Effort]},
    ),
    "max_width": (
        "Pixels; larger images are made smaller, their aspect kept. 0: no limit. Nothing is enlarged.",
        {"type": "integer", "minimum": 0, "maximum": MAX_SIDE},
    ),
    "max_height": ("Pixels, as `max_width`.", {"type": "integer", "minimum": 0, "maximum": MAX_SIDE}),
    "fit": (
        (
            "`inside`: images fit into `max_width` × `max_height` as a whole. `cover`: they fill it, and "
            "what sticks out is cropped, the same on both sides. `pad`: they fit into it as a whole, and "
            "`background` fills the rest. The last two need both limits. Nothing is enlarged."
        ),
        {"type": "string", "enum": [str(each) for each in Fit]},
    ),
    "background": (
        (
            "What is around a padded image, and behind what was transparent in a JPEG: `white`, a "
            "colour as `#rrggbb`, or `none`, which is transparent where the format can be, else white. In a "
            "query `#` is written `%23`."
        ),
        {"type": "string", "pattern": f"^({BACKGROUND.pattern})$", "examples": ["#f4f4f4"]},
    ),
}
LEFT_OUT = " Left out or empty: what the server's configuration says."


def _told(name: str, text: str) -> str:
    return text if name == "webhook_url" else text + LEFT_OUT


def upload(limit: int) -> Operation:
    """Describe the upload of a CSV of at most `limit` bytes."""
    form = {
        "type": "object",
        "properties": {
            "file": {
                "type": "string",
                "contentMediaType": "text/csv",
                "description": f"The CSV, at most {limit} bytes.",
            },
            **{
                name: {**or_empty(schema), "description": _told(name, text)}
                for name, (text, schema) in OPTIONS.items()
            },
        },
        "required": ["file"],
    }
    return Operation(
        method="post",
        path="/upload",
        name="uploadCsv",
        tag="Requests",
        summary="Upload a CSV",
        description=(
            "Takes in a CSV of products and image URLs, and answers once it is on disk: from then on its "
            "images "
            "are fetched and compressed, whatever happens to the server.\n\n"
            "The CSV has the columns `S. No.`, `Product Name` and `Input Image Urls`, in any order; others "
            "are "
            "kept. One cell holds one or more URLs. UTF-8, UTF-16 with a BOM, or Windows-1252; comma, "
            "semicolon "
            "or tab.\n\n"
            "Send it as `multipart/form-data` in the field `file` with the options as further fields, or "
            "as a "
            "`text/csv` body with the options in the query. A form may have options in the query as well; "
            "its "
            "own fields count then. Fields and query parameters that are not listed here are ignored. The "
            "body may be "
            "sent with `Content-Encoding: gzip` or `deflate`."
        ),
        parameters=(
            sent_header(
                "Idempotency-Key",
                "Makes it safe to send an upload again: the same key with the same content is answered "
                "with the "
                "first request, for 24 hours.",
                {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": LONGEST_KEY,
                    "pattern": r"^[!-~]([ -~]*[!-~])?$",
                },
            ),
            *(query(name, _told(name, text), or_empty(schema)) for name, (text, schema) in OPTIONS.items()),
        ),
        body={
            "required": True,
            "description": "The CSV, and with a form the options.",
            "content": {
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {"file": {"contentType": "text/csv"}},
                    "example": {"file": examples.CSV, "quality": 50, "format": "webp"},
                },
                "text/csv": {
                    "schema": {"type": "string", "description": f"The CSV, at most {limit} bytes."},
                    "example": examples.CSV,
                },
            },
        },
        answers={
            202: answer(
                "Taken in.",
                as_json("Accepted", examples.ACCEPTED),
                headers={
                    "Location": LOCATION,
                    "Retry-After": header(
                        "Seconds after which to ask for the status.", {"type": "integer", "minimum": 0}
                    ),
                },
                **links_to(*LINKS),
            )
        },
        errors=(
            UploadError,
            BodyTooSlow,
            UploadTooLarge,
            UnsupportedBody,
            UnsupportedEncoding,
            CatalogError,
            OptionError,
            IdempotencyConflict,
            QueueFull,
            NoSpace,
            DatabaseFailure,
            SpoolFailure,
        ),
        plain={417: "The expectation of an `Expect` header cannot be met."},
    )
