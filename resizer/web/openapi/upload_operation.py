"""`POST /upload`."""

from typing import Any, Final

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
from resizer.schemas.fields import Json
from resizer.web.api.parameters import LONGEST_KEY, MAX_SIDE
from resizer.web.openapi.examples import CSV, WEBHOOK_URL
from resizer.web.openapi.parts import (
    LOCATION,
    SECONDS,
    TO_LINKS,
    Kind,
    Operation,
    header,
    json_response,
    or_empty,
    query,
    sent_header,
)

DESCRIPTION: Final = """\
Accepts a CSV of products and image URLs, and responds once it is on disk. From then on its images are fetched
and compressed, even if the server crashes.

The CSV has the columns `S. No.`, `Product Name` and `Input Image Urls`, in any order; other columns are kept.
A cell contains one or more URLs. Encoding: UTF-8, UTF-16 with a BOM, or Windows-1252. Delimiter: comma,
semicolon or tab.

Send `multipart/form-data` with the field `file` and the options as further fields, or a `text/csv` body with
the options in the query. A form's fields override the query. Unknown fields and query parameters are ignored.
The body may be sent with `Content-Encoding: gzip` or `deflate`."""

DEFAULT: Final = " Left out or empty: the server's default."
SIDE: Final[Json] = {"type": "integer", "minimum": 0, "maximum": MAX_SIDE}
#: description and schema of each option, a query parameter or a form field
OPTIONS: Final[dict[str, tuple[str, Json]]] = {
    "webhook_url": (
        "The URL to notify when the request ends: `http` or `https`, with a public address.",
        {"type": "string", "format": "uri", "examples": [WEBHOOK_URL]},
    ),
    "quality": (
        "Quality on Pillow's scale, 1 to 100. Below 100 a PNG is reduced to 256 colours at most." + DEFAULT,
        {"type": "integer", "minimum": 1, "maximum": 100},
    ),
    "format": (
        "Output format. `keep`: the source's, but BMP, TIFF and HEIC become JPEG, or PNG if transparent."
        + DEFAULT,
        {"type": "string", "enum": [*OutputFormat]},
    ),
    "effort": (
        "`small`: fewer bytes of the same quality, in more time; `fast`: the opposite. Very large images "
        "get a faster effort than requested." + DEFAULT,
        {"type": "string", "enum": [*Effort]},
    ),
    "max_width": (
        "Pixels. Larger images are scaled down and keep their aspect ratio; none is enlarged. 0: no limit."
        + DEFAULT,
        SIDE,
    ),
    "max_height": ("Pixels, as `max_width`." + DEFAULT, SIDE),
    "fit": (
        "`inside`: the whole image fits within `max_width` × `max_height`. `cover`: it fills that box, and "
        "the excess is cropped equally on both sides. `pad`: the whole image fits within the box, and "
        "`background` fills the rest. `cover` and `pad` need both limits. No image is enlarged." + DEFAULT,
        {"type": "string", "enum": [*Fit]},
    ),
    "background": (
        "Colour around a padded image and behind the transparent parts of a JPEG: `white`, `#rrggbb`, or "
        "`none`, which is transparent if the format allows it, else white. Write `#` as `%23` in a query."
        + DEFAULT,
        {"type": "string", "pattern": f"^({BACKGROUND.pattern})$", "examples": ["#f4f4f4"]},
    ),
}
IDEMPOTENCY_KEY: Final = sent_header(
    "Idempotency-Key",
    "Makes a retry safe: for 24 hours the same key with the same content returns the first request.",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": r"^[!-~]([ -~]*[!-~])?$"},
)
ERRORS: Final = (
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
)


def upload(limit: int) -> Operation:
    """Describe the upload of a CSV of at most `limit` bytes."""
    headers = {"Location": LOCATION, "Retry-After": header("Seconds until the first poll.", SECONDS)}
    return Operation(
        "POST /upload",
        "uploadCsv",
        "Upload a CSV",
        DESCRIPTION,
        parameters=(IDEMPOTENCY_KEY, *(query(name, *option) for name, option in OPTIONS.items())),
        body=_body(f"The CSV, at most {limit} bytes."),
        responses={202: json_response("Accepted.", "Accepted", headers=headers, links=TO_LINKS)},
        errors=ERRORS,
        problems={417: (Kind(None, "The expectation of an `Expect` header cannot be met."),)},
    )


def _body(description: str) -> Json:
    options: dict[str, Any] = {
        name: {**or_empty(schema), "description": text} for name, (text, schema) in OPTIONS.items()
    }
    file = {"type": "string", "contentMediaType": "text/csv", "description": description}
    return {
        "required": True,
        "description": "The CSV, in a form with the options.",
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": file, **options}, "required": ["file"]},
                "encoding": {"file": {"contentType": "text/csv"}},
                "example": {"file": CSV, "quality": 50, "format": "webp"},
            },
            "text/csv": {"schema": {"type": "string", "description": description}, "example": CSV},
        },
    }
