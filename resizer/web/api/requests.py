"""Status, lists and actions of requests."""

import hashlib
import json
from http import HTTPStatus

from aiohttp import web

from resizer.models import Batch, BatchStatus, ImageStatus
from resizer.schemas.fields import page_body
from resizer.schemas.image_bodies import image_body
from resizer.schemas.request_bodies import StatusBody, WebhookBody, status_body, status_url
from resizer.schemas.webhook_bodies import deliveries_body
from resizer.web.answers import answer_json
from resizer.web.api.parameters import cursor, one_of, page_size, preferred_wait, query
from resizer.web.api.public_address import links_for
from resizer.web.connection.client_disconnect import cancelled_on_disconnect
from resizer.web.keys import LIFECYCLE, REQUESTS, SETTINGS
from resizer.web.problems import RETRY_SOON

#: requests per page: default and maximum
REQUESTS_PAGE = (20, 100)
#: images per page: default and maximum
IMAGES_PAGE = (100, 1000)


async def status(request: web.Request) -> web.Response:
    """Answer with the status, at once or, with `Prefer: wait`, when the request ends."""
    batches, request_id = request.app[REQUESTS], request.match_info["request_id"]
    headers = {"Cache-Control": "no-cache"}
    seconds = preferred_wait(request)
    if seconds is None:
        batch = await batches.batch(request_id)
    else:
        with cancelled_on_disconnect(request):
            batch = await batches.wait(request_id, seconds)
        headers |= {"Preference-Applied": f"wait={seconds}", "Vary": "Prefer"}
    if not batch.done:
        headers |= RETRY_SOON
    body = json.dumps(await status_of(request, batch), ensure_ascii=False)
    etag = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
    headers["ETag"] = f'"{etag}"'
    if any(each.value in {etag, "*"} for each in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(text=body, content_type="application/json", headers=headers)


async def requests(request: web.Request) -> web.Response:
    """List requests, newest first."""
    batches, links = request.app[REQUESTS], links_for(request)
    limit = _limit(request, *REQUESTS_PAGE)
    found = await batches.newest(
        before=query(request, "after", cursor, default=None),
        limit=limit + 1,
        status=query(request, "status", one_of(BatchStatus), default=None),
    )
    page = found[:limit]
    webhooks = await batches.webhooks(page)
    data = [
        status_body(batch, links, _listed(request, webhooks[batch.id]), batches.expires_at(batch))
        for batch in page
    ]
    return answer_json(page_body(data, str(page[-1].id) if len(found) > limit else None))


def _listed(request: web.Request, webhook: WebhookBody | None) -> WebhookBody | None:
    if webhook is not None and not request.app[SETTINGS].server.api_tokens:
        # without tokens anyone may list, and knowing such a URL often suffices to call it
        return {**webhook, "url": None}
    return webhook


async def images(request: web.Request) -> web.Response:
    """List a request's images in the order of the CSV."""
    batches, links = request.app[REQUESTS], links_for(request)
    batch = await batches.batch(request.match_info["request_id"])
    limit = _limit(request, *IMAGES_PAGE)
    found = await batches.images(
        batch,
        after=query(request, "after", cursor, default=-1),
        limit=limit + 1,
        status=query(request, "status", one_of(ImageStatus), default=None),
    )
    page = found[:limit]
    following = str(page[-1].seq) if len(found) > limit else None
    return answer_json(page_body([image_body(image, links) for image in page], following))


def _limit(request: web.Request, default: int, most: int) -> int:
    return query(request, "limit", page_size(most), default=default)


async def cancel(request: web.Request) -> web.Response:
    """Cancel the images of a request that are not finished."""
    return await _accepted(request, await request.app[LIFECYCLE].cancel(request.match_info["request_id"]))


async def retry(request: web.Request) -> web.Response:
    """Retry a request's failed and cancelled images."""
    return await _accepted(request, await request.app[LIFECYCLE].retry(request.match_info["request_id"]))


async def delete(request: web.Request) -> web.Response:
    """Delete a request, and the files that no other request uses."""
    await request.app[LIFECYCLE].delete(request.match_info["request_id"])
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def deliveries(request: web.Request) -> web.Response:
    """List a request's webhook deliveries with every attempt."""
    found = await request.app[REQUESTS].deliveries(request.match_info["request_id"])
    return answer_json(deliveries_body(found))


async def send_again(request: web.Request) -> web.Response:
    """Send a request's webhook event again."""
    found = await request.app[LIFECYCLE].send_again(request.match_info["request_id"])
    return answer_json(deliveries_body(found), status=HTTPStatus.ACCEPTED)


async def _accepted(request: web.Request, batch: Batch) -> web.Response:
    headers = {"Location": status_url(batch, links_for(request))}
    if not batch.done:
        headers |= RETRY_SOON
    return answer_json(await status_of(request, batch), status=HTTPStatus.ACCEPTED, headers=headers)


async def status_of(request: web.Request, batch: Batch) -> StatusBody:
    """Return the status body with this client's URLs."""
    batches = request.app[REQUESTS]
    return status_body(batch, links_for(request), await batches.webhook(batch), batches.expires_at(batch))
