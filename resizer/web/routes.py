"""Every path of the service and what it answers."""

import hashlib
import json
import re
from enum import StrEnum
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web

from resizer.batches import Submission
from resizer.bodies import (
    Json,
    delivery_body,
    image_body,
    page_body,
    status_body,
    status_url,
    upload_body,
)
from resizer.errors import OptionError
from resizer.models import Batch, BatchStatus, ImageStatus
from resizer.web.answers import answer_json
from resizer.web.auth import require_token
from resizer.web.files import send_image
from resizer.web.health import healthz, readyz
from resizer.web.keys import BATCHES, SETTINGS, STORAGE
from resizer.web.origin import links_for
from resizer.web.problems import RETRY_SOON, answer_problems
from resizer.web.results import send_csv
from resizer.web.uploads import check_expectation, receive_upload, recipe_from, webhook_url_from

#: seconds; longest wait that `Prefer: wait=N` is granted (contract, section 5)
LONGEST_WAIT = 60
#: requests a page when nothing is said, and at most (contract, section 5)
REQUESTS_PAGE = (20, 100)
#: images a page when nothing is said, and at most
IMAGES_PAGE = (100, 1000)
#: characters
LONGEST_KEY = 255

S = TypeVar("S", bound=StrEnum)


def setup_web(app: web.Application) -> None:
    """Add the middlewares and every route; what the handlers need is put into the app by its owner."""
    app.middlewares.append(answer_problems)
    app.middlewares.append(require_token(app[SETTINGS].server.api_tokens))
    app.on_response_prepare.append(cache_for_ever)
    app.router.add_post("/upload", upload, expect_handler=check_expectation)
    app.router.add_get("/status/{request_id}", status)
    app.router.add_get("/result/{request_id}", result)
    app.router.add_get("/compressed/{filename:.*}", compressed)
    app.router.add_get("/ping", ping)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/requests", requests)
    app.router.add_get("/requests/{request_id}/images", images)
    app.router.add_post("/requests/{request_id}/retry", retry)
    app.router.add_get("/requests/{request_id}/deliveries", deliveries)


async def upload(request: web.Request) -> web.Response:
    """Take a CSV in; answers once it is on disk."""
    batches, settings = request.app[BATCHES], request.app[SETTINGS]
    links = links_for(request)
    key = _idempotency_key(request)
    if key is None:
        # with a key this may be the answer to an earlier post, for which there is always room
        await batches.check_room()
    async with receive_upload(
        request, spool=settings.spool_folder, limit=settings.server.max_upload_size
    ) as received:
        submission = Submission(
            csv=received.csv,
            filename=received.filename,
            recipe=recipe_from(received.options, settings.compress),
            webhook_url=webhook_url_from(received.options),
            origin=links.origin,
            files_url=links.files,
            idempotency_key=key,
        )
        batch = await batches.submit(submission)
    headers = {"Location": status_url(batch, links), **RETRY_SOON}
    return answer_json(upload_body(batch, links), status=HTTPStatus.ACCEPTED, headers=headers)


async def status(request: web.Request) -> web.Response:
    """Tell where a request stands, at once or when it ends."""
    batches = request.app[BATCHES]
    request_id = request.match_info["request_id"]
    headers = {"Cache-Control": "no-cache"}
    seconds = _preferred_wait(request)
    if seconds is None:
        batch = await batches.batch(request_id)
    else:
        batch = await batches.wait(request_id, seconds)
        headers["Preference-Applied"] = f"wait={seconds}"
        headers["Vary"] = "Prefer"
    if not batch.done:
        headers.update(RETRY_SOON)
    body = json.dumps(await _status(request, batch), ensure_ascii=False)
    etag = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
    headers["ETag"] = f'"{etag}"'
    if any(each.value in {etag, "*"} for each in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(text=body, content_type="application/json", headers=headers)


async def result(request: web.Request) -> web.StreamResponse:
    """Send the CSV with the output URLs added."""
    batches = request.app[BATCHES]
    batch = await batches.batch(request.match_info["request_id"])
    chunks = batches.result_csv(
        batch,
        files_url=links_for(request).files,
        detail=_flag(request, "detail"),
        partial=_flag(request, "partial"),
    )
    name = re.sub(r"[.]csv$", "", batch.filename, flags=re.IGNORECASE)
    return await send_csv(request, chunks, filename=f"{name}-result.csv")


async def compressed(request: web.Request) -> web.StreamResponse:
    """Send a compressed image; its name says what it is, so it never changes."""
    path = await request.app[STORAGE].find(request.match_info["filename"])
    if path is None:
        raise web.HTTPNotFound(text="there is no such image")
    return await send_image(request, path)


async def cache_for_ever(request: web.Request, response: web.StreamResponse) -> None:
    """Let a compressed image be cached; not so a range that it does not have."""
    del request
    if isinstance(response, web.FileResponse) and response.status < HTTPStatus.BAD_REQUEST:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"


async def ping(request: web.Request) -> web.Response:
    """Say that the server is there."""
    del request
    return answer_json({"status": "pong"})


async def requests(request: web.Request) -> web.Response:
    """List requests, newest first."""
    batches, links = request.app[BATCHES], links_for(request)
    limit = _limit(request, *REQUESTS_PAGE)
    page = await batches.newest(
        before=_cursor(request), limit=limit + 1, status=_wanted(request, BatchStatus)
    )
    following = str(page[limit - 1].id) if len(page) > limit else None
    data = [status_body(batch, links, await _listed_webhook(request, batch)) for batch in page[:limit]]
    return answer_json(page_body(data, following))


async def _listed_webhook(request: web.Request, batch: Batch) -> Json | None:
    webhook = await request.app[BATCHES].webhook(batch)
    if webhook is not None and not request.app[SETTINGS].server.api_tokens:
        # without a login anyone may list, and such a URL is often all that it takes to call it
        return {**webhook, "url": None}
    return webhook


async def retry(request: web.Request) -> web.Response:
    """Try a request's failed and cancelled images anew."""
    batch = await request.app[BATCHES].retry(request.match_info["request_id"])
    location = status_url(batch, links_for(request))
    headers = {"Location": location, **RETRY_SOON}
    return answer_json(await _status(request, batch), status=HTTPStatus.ACCEPTED, headers=headers)


async def images(request: web.Request) -> web.Response:
    """List a request's images in the order of the CSV."""
    batches, links = request.app[BATCHES], links_for(request)
    batch = await batches.batch(request.match_info["request_id"])
    limit = _limit(request, *IMAGES_PAGE)
    after = _cursor(request)
    page = await batches.images(
        batch, after=-1 if after is None else after, limit=limit + 1, status=_wanted(request, ImageStatus)
    )
    following = str(page[limit - 1].seq) if len(page) > limit else None
    return answer_json(page_body([image_body(image, links) for image in page[:limit]], following))


async def deliveries(request: web.Request) -> web.Response:
    """List a request's webhook deliveries with every try."""
    found = await request.app[BATCHES].deliveries(request.match_info["request_id"])
    return answer_json({"data": [delivery_body(delivery) for delivery in found]})


async def _status(request: web.Request, batch: Batch) -> Json:
    return status_body(batch, links_for(request), await request.app[BATCHES].webhook(batch))


def _preferred_wait(request: web.Request) -> int | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), at most `LONGEST_WAIT`."""
    for preference in ",".join(request.headers.getall("Prefer", ())).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and re.fullmatch(r'\s*"?\d{1,9}"?\s*', value):
            return min(int(value.strip().strip('"')), LONGEST_WAIT)
    return None


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key.strip()) <= LONGEST_KEY or not key.isascii():
        shown = key[:64].encode("ascii", "replace").decode()
        raise OptionError("Idempotency-Key", shown, f"use a text of 1 to {LONGEST_KEY} ASCII characters")
    return key.strip()


def _flag(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "0").lower()
    if value not in {"", "0", "1", "true", "false"}:
        raise OptionError(name, value[:200], "use 0 or 1")
    return value in {"1", "true"}


def _limit(request: web.Request, default: int, most: int) -> int:
    text = request.query.get("limit") or str(default)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise OptionError("limit", text[:200], f"use a whole number from 1 to {most}")
    return min(int(text), most)


def _cursor(request: web.Request) -> int | None:
    text = request.query.get("after")
    if not text:
        return None
    if not re.fullmatch(r"-1|\d{1,18}", text, re.ASCII):
        raise OptionError("after", text[:200], "use what 'next' of the page before says")
    return int(text)


def _wanted(request: web.Request, statuses: type[S]) -> S | None:
    text = request.query.get("status")
    if not text:
        return None
    if text not in set(statuses):
        raise OptionError("status", text[:200], "use one of " + ", ".join(statuses))
    return statuses(text)
