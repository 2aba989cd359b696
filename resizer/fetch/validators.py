"""Read and send the validators of conditional requests (RFC 9110, 8.8 and 13.1)."""

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from resizer.models import OriginInfo

#: an entity tag; longer ones are not stored
ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]{0,1000}"')
#: a change within the same second leaves the date as it is
RESOLUTION = timedelta(seconds=1)


def conditions(source: OriginInfo) -> dict[str, str]:
    """Return the headers that ask for the image only if it is another than this."""
    headers = {}
    if source.etag:
        headers["If-None-Match"] = source.etag
    if source.last_modified:
        headers["If-Modified-Since"] = source.last_modified
    return headers


def origin_info(headers: Mapping[str, str], digest: str, *, before: OriginInfo | None = None) -> OriginInfo:
    """Return what a response reports of its image; what a 304 omits is as it was `before`."""
    etag, modified = _etag(headers), _last_modified(headers)
    if before is not None and not (etag or modified):
        etag, modified = before.etag, before.last_modified
    return OriginInfo(digest=digest, etag=etag, last_modified=modified, asked_at=time.time())


def _etag(headers: Mapping[str, str]) -> str | None:
    text = headers.get("ETag", "").strip()
    return text if ETAG.fullmatch(text) else None


def _last_modified(headers: Mapping[str, str]) -> str | None:
    """Return the date as sent, unless it is invalid or may hide a change (RFC 9110, 8.8.2.2)."""
    text = headers.get("Last-Modified", "").strip()
    modified, date = _date(text), _date(headers.get("Date", ""))
    if modified is None or (date is not None and date - modified < RESOLUTION):
        return None
    return text


@lru_cache(maxsize=256)  # responses of the same second have the same date
def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text[:100])
    except ValueError:
        return None
    return date if date.tzinfo else None
