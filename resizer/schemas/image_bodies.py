"""The JSON of an image."""

from typing import Annotated

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from resizer.containers.formats import EXTENSIONS
from resizer.errors import ErrorCode
from resizer.models import Image, ImageStatus
from resizer.schemas.fields import Count, HttpStatus, Links, Positive, Url, doc

#: more than a client may ask for: a small source may be kept as it is
StoredFormat = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(EXTENSIONS)})]


class ImageFault(TypedDict):
    """Why the image failed; null unless it did."""

    code: Annotated[ErrorCode, doc("For programs.")]
    message: Annotated[str, doc("For people; names the setting to change, if any.")]
    http_status: Annotated[HttpStatus | None, doc("Status of the image host's response, if there was one.")]


class ImageBody(TypedDict):
    """One URL of one product, and its result."""

    line: Annotated[Positive, doc("Line of the CSV where the product's row begins, from 1.")]
    serial: Annotated[str, doc("The product's serial number, as in the CSV.")]
    product_name: Annotated[str, doc("The product's name.")]
    position: Annotated[Positive, doc("Position of the URL in its cell, from 1.")]
    input_url: Annotated[str, doc("The URL as in the CSV; not necessarily a valid one.")]
    status: Annotated[ImageStatus, doc("Progress of the image.")]
    output_url: Annotated[Url | None, doc("URL of the compressed image; null unless completed.")]
    format: Annotated[StoredFormat | None, doc("Format of the compressed image.")]
    width: Annotated[Positive | None, doc("Pixels of the compressed image, as displayed.")]
    height: Annotated[Positive | None, doc("Pixels of the compressed image, as displayed.")]
    input_bytes: Annotated[Count | None, doc("Size of the source.")]
    output_bytes: Annotated[
        Count | None,
        doc("Size of the compressed image; not above the source's unless its format or size was changed."),
    ]
    attempts: Annotated[Count, doc("Attempts to fetch it.")]
    error: ImageFault | None


def image_body(image: Image, links: Links) -> ImageBody:
    done, fault = image.compressed, image.fault
    return {
        "line": image.line,
        "serial": image.serial,
        "product_name": image.product_name,
        "position": image.position,
        "input_url": image.url,
        "status": image.status,
        "output_url": f"{links.files}/{done.filename}" if done else None,
        "format": done.format if done else None,
        "width": done.width if done else None,
        "height": done.height if done else None,
        "input_bytes": done.input_bytes if done else None,
        "output_bytes": done.output_bytes if done else None,
        "attempts": image.attempts,
        "error": (
            {"code": fault.code, "message": fault.message, "http_status": fault.http_status}
            if fault
            else None
        ),
    }
