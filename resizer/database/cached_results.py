"""Look up the files that earlier images of the same URLs left, and what their origins reported."""

import json
import time
from collections.abc import Iterable

from resizer.database.reader import Reader
from resizer.database.rows import plain_from
from resizer.models import Batch, CachedResult, Compressed, OriginInfo
from resizer.naming import key_of_url, stem_of

#: seconds before a batch was created within which the answer to a concurrent batch counts as fresh
FRESH = 600.0
#: seconds; a batch may run for long, or be retried much later
LONGEST_FRESH = 24 * 3600.0

#: the latest image of each URL, found by its key
SELECT_SOURCES = """
    SELECT i.url, i.batch_id, i.digest, i.etag, i.last_modified, i.location, i.asked_at, b.finished_at
    FROM json_each(?) wanted
    JOIN images i ON (i.batch_id, i.seq) = (
        SELECT batch_id, seq FROM images
        WHERE url_key = wanted.value ORDER BY batch_id DESC, seq DESC LIMIT 1)
    JOIN batches b ON b.id = i.batch_id
    WHERE b.ready
"""
#: one image for each file name with this stem; '/' is the character after '.'
SELECT_FILES = """
    SELECT i.filename, i.format, i.width, i.height, i.input_bytes, i.output_bytes
    FROM json_each(?) wanted
    JOIN images i ON (i.batch_id, i.seq) = (
        SELECT batch_id, seq FROM images
        WHERE filename > wanted.value || '.' AND filename < wanted.value || '/' LIMIT 1)
"""


class CachedResults:
    """The results of earlier images, by URL."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of(self, batch: Batch, urls: Iterable[str]) -> dict[str, CachedResult]:
        """Return the cached results of these URLs for the batch's recipe; URLs without one are left out."""
        keys = {key_of_url(url): url for url in urls}
        sources: dict[str, tuple[OriginInfo, bool]] = {}
        for row in await self._reader.fetch(SELECT_SOURCES, (json.dumps([*keys]),)):
            if keys.get(key_of_url(row["url"])) == row["url"]:
                source = plain_from(OriginInfo, row)
                beside = row["batch_id"] == batch.id or ran_beside(batch, row["finished_at"])
                sources[row["url"]] = source, is_fresh(source, batch, beside=beside)
        if not sources:
            return {}
        files = await self._files({stem_of(source.digest, batch.recipe) for source, _ in sources.values()})
        return {
            url: CachedResult(source=source, compressed=files[stem], fresh=fresh)
            for url, (source, fresh) in sources.items()
            if (stem := stem_of(source.digest, batch.recipe)) in files
        }

    async def _files(self, stems: Iterable[str]) -> dict[str, Compressed]:
        rows = await self._reader.fetch(SELECT_FILES, (json.dumps([*stems]),))
        found = [plain_from(Compressed, row) for row in rows]
        return {each.filename.partition(".")[0]: each for each in found}


def ran_beside(batch: Batch, finished_at: float | None) -> bool:
    """Tell whether a batch that ended then, or has not ended, was running when this one was created."""
    return finished_at is None or finished_at >= batch.created_at


def is_fresh(source: OriginInfo, batch: Batch, *, beside: bool) -> bool:
    """Tell whether the origin need not be asked again for the batch.

    An answer given after the batch was created is fresh, and so is one given to a batch `beside` it shortly
    before. Where the clock was set back nothing is fresh.
    """
    now = time.time()
    since = max(batch.created_at - FRESH if beside else batch.created_at, now - LONGEST_FRESH)
    return since <= source.asked_at <= now
