"""Operations on the results of a request: the CSV, the archive and the images."""

from typing import Final

from resizer.errors import NotFinished, OptionError, OriginalUnavailable, StorageFailure
from resizer.schemas.fields import Json
from resizer.storage.base import CACHE_CONTROL, CONTENT_TYPES
from resizer.web.openapi.examples import RESULT
from resizer.web.openapi.parts import (
    CONFINED,
    ETAG,
    IF_NONE_MATCH,
    NO_CACHE,
    NOSNIFF,
    Kind,
    Operation,
    header,
    query,
    response,
    sent_header,
)

FLAG: Final[Json] = {"type": "string", "enum": ["0", "1", "true", "false"], "default": "0"}
PARTIAL: Final = query("partial", "`1`: the results so far, if the request is not finished.", FLAG)
DETAIL: Final = query(
    "detail",
    "`1`: three more columns, `Errors`, `Input Bytes` and `Output Bytes`, with one entry per URL.",
    FLAG,
)
FILE_HEADERS: Final = {
    "Content-Disposition": header(
        "The file name, derived from that of the uploaded CSV (RFC 6266).",
        {"type": "string", "pattern": "^attachment; filename="},
    ),
    "Cache-Control": NO_CACHE,
    "X-Content-Type-Options": NOSNIFF,
}
IMAGE_HEADERS: Final = {
    "ETag": ETAG,
    "Cache-Control": header("The content under a name never changes.", {"const": CACHE_CONTROL}),
    "Accept-Ranges": header("Byte ranges are supported.", {"const": "bytes"}),
    "Last-Modified": header("When it was compressed."),
}
SAFE_HEADERS: Final = {"X-Content-Type-Options": NOSNIFF, "Content-Security-Policy": CONFINED}
CONTENT_RANGE: Final = header("The range sent.", {"type": "string", "pattern": r"^bytes \d+-\d+/\d+$"})
#: images have no schema
IMAGES: Final[Json] = {kind: {} for kind in sorted(CONTENT_TYPES.values())}

RESULTS: Final = (
    Operation(
        "GET /result/{request_id}",
        "getResult",
        "Get the result CSV",
        "The uploaded CSV with a column `Output Image Urls`: one entry per input URL in the same order, "
        "separated by commas; the entry of a failed image is empty. UTF-8, CRLF, RFC 4180.",
        parameters=(DETAIL, PARTIAL),
        responses={
            200: response(
                "The CSV.",
                {"text/csv": {"schema": {"type": "string"}, "example": RESULT}},
                headers=FILE_HEADERS,
            )
        },
        errors=(NotFinished, OptionError),
    ),
    Operation(
        "GET /requests/{request_id}/archive",
        "getArchive",
        "Get all images as a ZIP",
        "`result.csv` and the compressed images under readable names, generated while it is sent. If the "
        "storage has lost a file, `errors.txt` in the archive says so.",
        parameters=(PARTIAL,),
        responses={200: response("The ZIP.", {"application/zip": {}}, headers=FILE_HEADERS)},
        errors=(NotFinished, OptionError),
    ),
    Operation(
        "GET /compressed/{filename}",
        "getImage",
        "Get a compressed image",
        "The image at the `output_url` of the list and of the result CSV. It may be cached forever. One byte "
        "range per request is supported; a request for several returns the whole image.",
        parameters=(
            sent_header("Range", "`bytes=0-1023`; anything but a single range returns the whole image."),
            sent_header(
                "If-Range", "The `ETag` of the partial image; if it differs, the whole image is sent."
            ),
            IF_NONE_MATCH,
        ),
        responses={
            200: response("The image.", IMAGES, headers={**IMAGE_HEADERS, **SAFE_HEADERS}),
            206: response(
                "The range.",
                IMAGES,
                headers={**IMAGE_HEADERS, **SAFE_HEADERS, "Content-Range": CONTENT_RANGE},
            ),
            304: response("The client has this version.", headers=IMAGE_HEADERS),
        },
        errors=(StorageFailure,),
        problems={
            404: (Kind(None, "There is no such image."),),
            416: (Kind(None, "The image has no such range."),),
        },
    ),
    Operation(
        "GET /requests/{request_id}/images/{number}/original",
        "getOriginal",
        "Get an image from its host",
        "Fetched by this server for each call, without retries, to be shown beside the compressed image. The "
        "service keeps no originals, so it may differ from what was compressed. Only a few are fetched "
        "concurrently; further calls wait.",
        responses={
            200: response(
                "The image. Its type is determined by its content.",
                IMAGES,
                headers={
                    "Cache-Control": header("Only briefly.", {"const": "private, max-age=600"}),
                    **SAFE_HEADERS,
                    "Cross-Origin-Resource-Policy": header(
                        "Only pages of this server may load it.", {"const": "same-origin"}
                    ),
                },
            )
        },
        errors=(OriginalUnavailable,),
        problems={404: (Kind(None, "The request has no such image."),)},
    ),
)
