"""The OpenAPI 3.1 document of the whole API."""

from typing import Final

from resizer.config import Settings
from resizer.schemas.fields import Json
from resizer.support.cross_site import SAFE_METHODS
from resizer.version import VERSION
from resizer.web.connection.auth import OPEN_PATHS, OPEN_PREFIXES
from resizer.web.openapi.components import PUBLISHED, all_schemas
from resizer.web.openapi.parts import LINKS, PATH_PARAMETERS, Operation
from resizer.web.openapi.problem_responses import SHARED, problem_response, problem_responses
from resizer.web.openapi.request_operations import REQUESTS
from resizer.web.openapi.result_operations import RESULTS
from resizer.web.openapi.service_operations import SERVICE
from resizer.web.openapi.upload_operation import upload
from resizer.web.openapi.webhook_operations import DELIVERIES, webhooks

INTRODUCTION: Final = """\
Upload a CSV of products and image URLs; get the images compressed, and the CSV with their new URLs.

After the upload, wait for the end: poll the status with `Prefer: wait=60`, follow the server-sent events, or
receive a webhook. Then get the result. An accepted upload survives a crash of the server.

Times are ISO 8601 in UTC with `Z`, to the second; sizes are bytes; URLs are absolute. Every path with `GET`
also supports `HEAD`, `OPTIONS` lists the methods of a path, and other methods return 405 with `Allow`.
Unlisted query parameters are ignored; a repeated one is an error.

Errors are `application/problem+json` (RFC 9457): `type` is for programs and listed below; `detail` tells
people what is wrong and how to correct it."""
TAGS: Final = {
    "Requests": "A request is one uploaded CSV and the work on it.",
    "Results": "The results of a request.",
    "Webhooks": "The events that the service sends, and their delivery.",
    "Service": "The service itself.",
}
TOKEN: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "One of the server's tokens: `Authorization: Bearer TOKEN`.",
}


def operations(settings: Settings) -> dict[str, tuple[Operation, ...]]:
    """Return all operations by tag."""
    requests = (upload(settings.server.max_upload_size), *REQUESTS)
    return dict(zip(TAGS, (requests, RESULTS, DELIVERIES, SERVICE), strict=True))


def describe(settings: Settings, *, origin: str) -> Json:
    """Return the document for a client that reaches the service at this origin."""
    with_tokens = bool(settings.server.api_tokens)
    paths: dict[str, Json] = {}
    for tag, of_tag in operations(settings).items():
        for operation in of_tag:
            method, path = operation.route.split()
            described = {"tags": [tag], **_described(operation, with_tokens=with_tokens)}
            paths.setdefault(path, {})[method.lower()] = described
    schemas = all_schemas()
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "resizer",
            "version": VERSION,
            "summary": "Compresses the images of product catalogues.",
            "description": INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": origin, "description": "This service."}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": {name: schemas[name] for name in PUBLISHED},
            "responses": {
                name: problem_response(status, kinds)
                for name, (status, kinds) in SHARED.items()
                if name != "Unauthorized" or with_tokens
            },
            "links": LINKS,
        },
    }
    if with_tokens:
        document["components"]["securitySchemes"] = {"token": TOKEN}
        document["security"] = [{"token": []}]
    return document


def _described(operation: Operation, *, with_tokens: bool) -> Json:
    method, path = operation.route.split()
    is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)
    omitted = set() if with_tokens and not is_open else {"Unauthorized"}
    if method in SAFE_METHODS:
        omitted.add("OtherOrigin")
    shared = {
        status: {"$ref": f"#/components/responses/{name}"}
        for name, (status, _) in SHARED.items()
        if name not in omitted
    }
    in_path = [each for name, each in PATH_PARAMETERS.items() if f"{{{name}}}" in path]
    responses = shared | problem_responses(operation) | dict(operation.responses)
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*in_path, *operation.parameters],
        "responses": {str(status): each for status, each in sorted(responses.items())},
    }
    if operation.body is not None:
        described["requestBody"] = operation.body
    if with_tokens and is_open:
        described["security"] = []
    return described
