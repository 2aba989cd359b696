"""Take an upload."""

from http import HTTPStatus

from aiohttp import web

from resizer.pipeline.importing import Submission
from resizer.schemas.request_bodies import status_url, upload_body
from resizer.web.answers import answer_json
from resizer.web.api.parameters import form_options, idempotency_key, query_options, recipe_from
from resizer.web.api.public_address import links_for
from resizer.web.api.upload_body import UNNAMED, receive_upload
from resizer.web.connection.access_log import REQUEST_ID
from resizer.web.keys import LIFECYCLE, SETTINGS
from resizer.web.problems import RETRY_SOON


async def upload(request: web.Request) -> web.Response:
    """Take a CSV; answer once it is on disk."""
    lifecycle, settings = request.app[LIFECYCLE], request.app[SETTINGS]
    links = links_for(request)
    key = idempotency_key(request)
    options = query_options(request)  # checked before the body is read
    if key is None:
        # an upload with a key may repeat an earlier one, which needs no room
        await lifecycle.check_room()
    async with receive_upload(
        request, spool=settings.spool_folder, limit=settings.server.max_upload_size
    ) as received:
        # a form's fields override the query
        options |= form_options(received.form.fields)
        submission = Submission(
            csv=received.csv,
            filename=received.form.filename or UNNAMED,
            recipe=recipe_from(options, settings.compress),
            webhook_url=options.get("webhook_url"),
            origin=links.origin,
            files_url=links.files,
            idempotency_key=key,
        )
        batch = await lifecycle.submit(submission)
    request[REQUEST_ID] = batch.request_id
    headers = {"Location": status_url(batch, links), **RETRY_SOON}
    return answer_json(upload_body(batch, links), status=HTTPStatus.ACCEPTED, headers=headers)
