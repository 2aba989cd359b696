"""What a request leaves, described: the result, the archive and the images."""

from resizer.errors import BatchNotFound, NotFinished, OptionError, OriginalUnavailable, StorageFailure
from resizer.schemas import Json
from resizer.storage.base import CONTENT_TYPES
from resizer.web.openapi import examples
from resizer.web.openapi.parts import Operation, answer, header, parameter_ref, sent_header
from resizer.web.openapi.shared import CONFINED, DISPOSITION, ETAG, NO_CACHE, NOSNIFF

ID = parameter_ref("RequestId")
FILE_HEADERS = {
    "Content-Disposition": DISPOSITION,
    "Cache-Control": NO_CACHE,
    "X-Content-Type-Options": NOSNIFF,
}
IMAGE_HEADERS = {
    "ETag": ETAG,
    "Cache-Control": header(
        "The name says what it is, so it never changes.", {"const": "public, max-age=31536000, immutable"}
    ),
    "Accept-Ranges": header("Parts can be asked for.", {"const": "bytes"}),
    "Last-Modified": header("When it was made.", {"type": "string"}),
}
SENT = {**IMAGE_HEADERS, "X-Content-Type-Options": NOSNIFF, "Content-Security-Policy": CONFINED}
PART = r"^bytes \d+-\d+/\d+$"
#: images need no schema: they are what their type says
IMAGE_TYPES: Json = {kind: {} for kind in sorted(CONTENT_TYPES.values())}

RESULT = Operation(
    method="get",
    path="/result/{request_id}",
    name="getResult",
    tag="Results",
    summary="The result CSV",
    description=(
        "The uploaded CSV with a column `Output Image Urls`: one slot for each input URL in the same "
        "order, joined "
        "by commas; the slot of a failed image is empty. UTF-8, CRLF, RFC 4180."
    ),
    parameters=(ID, parameter_ref("Detail"), parameter_ref("Partial")),
    answers={
        200: answer(
            "The CSV.",
            {"text/csv": {"schema": {"type": "string"}, "example": examples.RESULT}},
            headers=FILE_HEADERS,
        )
    },
    errors=(BatchNotFound, NotFinished, OptionError),
)
ARCHIVE = Operation(
    method="get",
    path="/requests/{request_id}/archive",
    name="getArchive",
    tag="Results",
    summary="All images in a ZIP",
    description=(
        "`result.csv` and each compressed image under a readable name, made while it is sent. Where the "
        "storage has "
        "lost a file, `errors.txt` inside says so."
    ),
    parameters=(ID, parameter_ref("Partial")),
    answers={200: answer("The ZIP.", {"application/zip": {}}, headers=FILE_HEADERS)},
    errors=(BatchNotFound, NotFinished, OptionError),
)
COMPRESSED = Operation(
    method="get",
    path="/compressed/{filename}",
    name="getImage",
    tag="Results",
    summary="A compressed image",
    description=(
        "The image itself; its address is the `output_url` of an image, and stands in the result. It may "
        "be kept for "
        "ever. One range of bytes can be asked for; several at once are answered with the whole."
    ),
    parameters=(
        parameter_ref("FileName"),
        sent_header("Range", "A part: `bytes=0-1023`; no single range: the whole.", {"type": "string"}),
        sent_header(
            "If-Range",
            "The `ETag` of which a part is known; of another file the whole is sent.",
            {"type": "string"},
        ),
        sent_header("If-None-Match", "The `ETag` of the image that is known.", {"type": "string"}),
    ),
    answers={
        200: answer("The image.", IMAGE_TYPES, headers=SENT),
        206: answer(
            "The part that was asked for.",
            IMAGE_TYPES,
            headers={
                **SENT,
                "Content-Range": header("Which part it is.", {"type": "string", "pattern": PART}),
            },
        ),
        304: answer("It is the one that is known.", headers=IMAGE_HEADERS),
    },
    errors=(StorageFailure,),
    plain={404: "There is no such image.", 416: "The image has no such part."},
)
ORIGINAL = Operation(
    method="get",
    path="/requests/{request_id}/images/{number}/original",
    name="getOriginal",
    tag="Results",
    summary="An image as it is at its host now",
    description=(
        "Fetched anew by this server each time, in one try, to be shown beside the compressed image; it need "
        "not be what was compressed, as the service keeps no originals. A few are fetched at once, further "
        "calls wait."
    ),
    parameters=(ID, parameter_ref("Number")),
    answers={
        200: answer(
            "The image, of the type that its content is, whatever its host says.",
            IMAGE_TYPES,
            headers={
                "Cache-Control": header("For a look at it, and the next.", {"const": "private, max-age=600"}),
                "X-Content-Type-Options": NOSNIFF,
                "Content-Security-Policy": CONFINED,
                "Cross-Origin-Resource-Policy": header("For pages of this server.", {"const": "same-origin"}),
            },
        )
    },
    errors=(BatchNotFound, OriginalUnavailable),
    plain={404: "The request has no such image."},
)
RESULTS = (RESULT, ARCHIVE, COMPRESSED, ORIGINAL)
