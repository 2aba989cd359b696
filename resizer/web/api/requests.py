"""Requests as a client sees them: how they stand, what belongs to them, and what may be done to them."""

import hashlib
import json
from http import HTTPStatus

from aiohttp import web

from resizer.models import Batch, BatchStatus, ImageStatus
from resizer.schemas import Json, delivery_body, image_body, page_body, status_body, status_url
from resizer.web.answers import answer_json
from resizer.web.api.origin import links_for
from resizer.web.api.parameters import cursor, page_limit, preferred_wait, wanted_status
from resizer.web.connection.leaving import ends_with_client
from resizer.web.keys import LIFECYCLE, REQUESTS, SETTINGS
from resizer.web.problems import RETRY_SOON

#: requests a page when nothing is said, and at most (contract, section 5)
REQUESTS_PAGE = (20, 100)
#: images a page when nothing is said, and at most
IMAGES_PAGE = (100, 1000)


async def status(request: web.Request) -> web.Response:
    """Tell where a request stands, at once or when it ends."""
    batches = request.app[REQUESTS]
    request_id = request.match_info["request_id"]
    headers = {"Cache-Control": "no-cache"}
    seconds = preferred_wait(request)
    if seconds is None:
        batch = await batches.batch(request_id)
    else:
        with ends_with_client(request):
            batch = await batches.wait(request_id, seconds)
        headers["Preference-Applied"] = f"wait={seconds}"
        headers["Vary"] = "Prefer"
    if not batch.done:
        headers.update(RETRY_SOON)
    body = json.dumps(await status_of(request, batch), ensure_ascii=False)
    etag = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
    headers["ETag"] = f'"{etag}"'
    if any(each.value in {etag, "*"} for each in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(text=body, content_type="application/json", headers=headers)


async def requests(request: web.Request) -> web.Response:
    """List requests, newest first."""
    batches, links = request.app[REQUESTS], links_for(request)
    limit = page_limit(request, *REQUESTS_PAGE)
    page = await batches.newest(
        before=cursor(request), limit=limit + 1, status=wanted_status(request, BatchStatus)
    )
    following = str(page[limit - 1].id) if len(page) > limit else None
    webhooks = await batches.webhooks(page[:limit])
    data = [
        status_body(batch, links, _listed(request, webhooks[batch.id]), batches.expires_at(batch))
        for batch in page[:limit]
    ]
    return answer_json(page_body(data, following))


def _listed(request: web.Request, webhook: Json | None) -> Json | None:
    if webhook is not None and not request.app[SETTINGS].server.api_tokens:
        # without a login anyone may list, and such a URL is often all that it takes to call it
        return {**webhook, "url": None}
    return webhook


async def images(request: web.Request) -> web.Response:
    """List a request's images in the order of the CSV."""
    batches, links = request.app[REQUESTS], links_for(request)
    batch = await batches.batch(request.match_info["request_id"])
    limit = page_limit(request, *IMAGES_PAGE)
    after = cursor(request)
    page = await batches.images(
        batch,
        after=-1 if after is None else after,
        limit=limit + 1,
        status=wanted_status(request, ImageStatus),
    )
    following = str(page[limit - 1].seq) if len(page) > limit else None
    return answer_json(page_body([image_body(image, links) for image in page[:limit]], following))


async def cancel(request: web.Request) -> web.Response:
    """Cancel what is left of a request."""
    return await _accepted(request, await request.app[LIFECYCLE].cancel(request.match_info["request_id"]))


async def retry(request: web.Request) -> web.Response:
    """Try a request's failed and cancelled images anew."""
    return await _accepted(request, await request.app[LIFECYCLE].retry(request.match_info["request_id"]))


async def delete(request: web.Request) -> web.Response:
    """Forget a request and the files that no other uses."""
    await request.app[LIFECYCLE].delete(request.match_info["request_id"])
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def deliveries(request: web.Request) -> web.Response:
    """List a request's webhook deliveries with every try."""
    found = await request.app[REQUESTS].deliveries(request.match_info["request_id"])
    return answer_json({"data": [delivery_body(delivery) for delivery in found]})


async def send_again(request: web.Request) -> web.Response:
    """Send a request's webhook event again."""
    found = await request.app[LIFECYCLE].send_again(request.match_info["request_id"])
    return answer_json({"data": [delivery_body(delivery) for delivery in found]}, status=HTTPStatus.ACCEPTED)


async def _accepted(request: web.Request, batch: Batch) -> web.Response:
    headers = {"Location": status_url(batch, links_for(request))}
    if not batch.done:
        headers.update(RETRY_SOON)
    return answer_json(await status_of(request, batch), status=HTTPStatus.ACCEPTED, headers=headers)


async def status_of(request: web.Request, batch: Batch) -> Json:
    """Return the status body as this client is told it."""
    batches = request.app[REQUESTS]
    return status_body(batch, links_for(request), await batches.webhook(batch), batches.expires_at(batch))
