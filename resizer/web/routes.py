"""Middlewares, headers and routes of the service."""

from aiohttp import hdrs, web

from resizer.version import SERVER
from resizer.web.api.archive import archive
from resizer.web.api.event_stream import events
from resizer.web.api.health import healthz, ping, readyz
from resizer.web.api.original import original
from resizer.web.api.prometheus import count_answers, metrics
from resizer.web.api.requests import cancel, delete, deliveries, images, requests, retry, send_again, status
from resizer.web.api.results import result
from resizer.web.api.stored_images import compressed
from resizer.web.api.upload_body import check_expectation
from resizer.web.api.uploads import upload
from resizer.web.connection.access_log import log_with_request_id
from resizer.web.connection.aiohttp_internals import difference
from resizer.web.connection.allowed_methods import answer_methods
from resizer.web.connection.auth import require_token
from resizer.web.connection.cors import Cors
from resizer.web.connection.origin_check import OriginCheck
from resizer.web.keys import AIOHTTP_TESTED, SETTINGS
from resizer.web.openapi import openapi
from resizer.web.openapi.docs import docs
from resizer.web.page import Page
from resizer.web.problems import answer_problems


def setup_web(app: web.Application) -> None:
    """Add middlewares and routes; app.py provides everything else that `keys` names."""
    server = app[SETTINGS].server
    cors = Cors(server.cors_origins)
    app.middlewares.extend([count_answers, log_with_request_id, answer_problems])
    app.middlewares.append(OriginCheck(server, cors).middleware)
    cors.add_to(app)
    app.middlewares.extend([require_token(server.api_tokens), answer_methods])
    app.on_response_prepare.extend([name_server, confine_images])
    app[AIOHTTP_TESTED] = difference() is None
    Page(app[SETTINGS]).add_to(app)
    add_routes(app)


def add_routes(app: web.Application) -> None:
    # aiohttp's own handler asks for every body at once
    expect_handler = check_expectation if app[AIOHTTP_TESTED] else None
    app.router.add_post("/upload", upload, expect_handler=expect_handler)
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


async def name_server(request: web.Request, response: web.StreamResponse) -> None:
    """Name the service instead of the library versions that aiohttp would send."""
    del request
    response.headers[hdrs.SERVER] = SERVER


async def confine_images(request: web.Request, response: web.StreamResponse) -> None:
    """Let a browser run nothing when it opens a compressed image."""
    # the decoded path, as the router uses it: /%63ompressed/… is the same route
    if request.path.startswith("/compressed/"):
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.headers["X-Content-Type-Options"] = "nosniff"
