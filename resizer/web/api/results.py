"""Send a request's result."""

import re

from aiohttp import web

from resizer.models import Batch
from resizer.web.api.downloads import send_download
from resizer.web.api.parameters import flag
from resizer.web.api.public_address import links_for
from resizer.web.keys import REQUESTS


async def result(request: web.Request) -> web.StreamResponse:
    """Send the CSV with the output URLs added."""
    batches = request.app[REQUESTS]
    batch = await batches.batch(request.match_info["request_id"])
    pieces = batches.result_csv(
        batch,
        files_url=links_for(request).files,
        detail=flag(request, "detail"),
        partial=flag(request, "partial"),
    )
    filename = f"{stem_of(batch)}-result.csv"
    return await send_download(request, pieces, filename=filename, content_type="text/csv; charset=utf-8")


def stem_of(batch: Batch) -> str:
    return re.sub(r"[.]csv$", "", batch.filename, flags=re.IGNORECASE)
