"""Every path of the service and who answers it."""

import re
from http import HTTPStatus
from pathlib import Path

from aiohttp import hdrs, web

from resizer.pipeline.importing import Submission
from resizer.schemas import status_url, upload_body
from resizer.storage.base import CACHE_CONTROL
from resizer.version import SERVER
from resizer.web.answers import answer_json
from resizer.web.api.archive import archive
from resizer.web.api.events import events
from resizer.web.api.files import send_image
from resizer.web.api.health import healthz, readyz
from resizer.web.api.metrics import count_answers, metrics
from resizer.web.api.objects import ObjectResponse, send_object
from resizer.web.api.options import check_box, query_options, recipe_from, webhook_url_from
from resizer.web.api.origin import links_for
from resizer.web.api.original import original
from resizer.web.api.parameters import flag, idempotency_key
from resizer.web.api.requests import cancel, delete, deliveries, images, requests, retry, send_again, status
from resizer.web.api.results import send_csv
from resizer.web.api.uploads import check_expectation, receive_upload
from resizer.web.connection.access_log import REQUEST_ID, tie_log
from resizer.web.connection.auth import require_token
from resizer.web.connection.cors import Cors
from resizer.web.connection.cross_site import CrossSite
from resizer.web.connection.methods import answer_methods
from resizer.web.keys import LIFECYCLE, REQUESTS, SETTINGS, STORAGE
from resizer.web.openapi import openapi
from resizer.web.openapi.docs import docs
from resizer.web.page import Page
from resizer.web.problems import RETRY_SOON, answer_problems


def setup_web(app: web.Application) -> None:
    """Add the middlewares and every route; what the handlers need is put into the app by its owner."""
    app.middlewares.extend([count_answers, tie_log])
    app.middlewares.append(answer_problems)
    cors = Cors(app[SETTINGS].server.cors_origins)
    app.middlewares.append(CrossSite(app[SETTINGS].server, cors).middleware())
    cors.add_to(app)
    app.middlewares.append(require_token(app[SETTINGS].server.api_tokens))
    app.middlewares.append(answer_methods)
    app.on_response_prepare.extend([name_server, confine_images, cache_for_ever])
    Page(app[SETTINGS]).add_to(app)
    app.router.add_post("/upload", upload, expect_handler=check_expectation)
    app.router.add_get("/status/{request_id}", status)
    app.router.add_get("/result/{request_id}", result)
    app.router.add_get("/compressed/{filename:.*}", compressed)
    app.router.add_get("/ping", ping)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", docs)
    app.router.add_get("/requests", requests)
    app.router.add_get("/requests/{request_id}/images", images)
    app.router.add_get("/requests/{request_id}/images/{number}/original", original)
    app.router.add_get("/requests/{request_id}/events", events)
    app.router.add_get("/requests/{request_id}/archive", archive)
    app.router.add_delete("/requests/{request_id}", delete)
    app.router.add_post("/requests/{request_id}/cancel", cancel)
    app.router.add_post("/requests/{request_id}/retry", retry)
    app.router.add_get("/requests/{request_id}/deliveries", deliveries)
    app.router.add_post("/requests/{request_id}/deliveries", send_again)


async def upload(request: web.Request) -> web.Response:
    """Take a CSV in; answers once it is on disk."""
    lifecycle, settings = request.app[LIFECYCLE], request.app[SETTINGS]
    links = links_for(request)
    key = idempotency_key(request)
    # before the body is read, and also where a form's own fields go before them
    asked = query_options(request)
    recipe_from(asked, settings.compress)
    webhook_url_from(asked)
    if key is None:
        # with a key this may be the answer to an earlier post, for which there is always room
        await lifecycle.check_room()
    async with receive_upload(
        request, spool=settings.spool_folder, limit=settings.server.max_upload_size
    ) as received:
        recipe = recipe_from(received.options, settings.compress)
        check_box(recipe, settings.compress)
        submission = Submission(
            csv=received.csv,
            filename=received.filename,
            recipe=recipe,
            webhook_url=webhook_url_from(received.options),
            origin=links.origin,
            files_url=links.files,
            idempotency_key=key,
        )
        batch = await lifecycle.submit(submission)
    request[REQUEST_ID] = batch.request_id
    headers = {"Location": status_url(batch, links), **RETRY_SOON}
    return answer_json(upload_body(batch, links), status=HTTPStatus.ACCEPTED, headers=headers)


async def result(request: web.Request) -> web.StreamResponse:
    """Send the CSV with the output URLs added."""
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    chunks = batches.result_csv(
        batch,
        files_url=links_for(request).files,
        detail=flag(request, "detail"),
        partial=flag(request, "partial"),
    )
    name = re.sub(r"[.]csv$", "", batch.filename, flags=re.IGNORECASE)
    return await send_csv(request, chunks, filename=f"{name}-result.csv")


async def compressed(request: web.Request) -> web.StreamResponse:
    """Send a compressed image; its name says what it is, so it never changes."""
    name = request.match_info["filename"]
    found = await request.app[STORAGE].find(name)
    if found is None:
        raise web.HTTPNotFound(text="there is no such image")
    if isinstance(found, Path):
        return await send_image(request, found)
    return await send_object(request, found, name)


async def name_server(request: web.Request, response: web.StreamResponse) -> None:
    """Say what answers, without the versions that aiohttp would add."""
    del request
    response.headers[hdrs.SERVER] = SERVER


async def confine_images(request: web.Request, response: web.StreamResponse) -> None:
    """Let nothing run in a browser that opens a compressed image, whatever its bytes are."""
    # decoded, as the router does: /%63ompressed/… leads there, too
    if request.path.startswith("/compressed/"):
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.headers["X-Content-Type-Options"] = "nosniff"


async def cache_for_ever(request: web.Request, response: web.StreamResponse) -> None:
    """Let a compressed image be cached; not so a range that it does not have."""
    del request
    if isinstance(response, web.FileResponse | ObjectResponse) and response.status < HTTPStatus.BAD_REQUEST:
        response.headers["Cache-Control"] = CACHE_CONTROL


async def ping(request: web.Request) -> web.Response:
    """Say that the server is there."""
    del request
    return answer_json({"status": "pong"})
