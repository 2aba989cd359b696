"""What is known of URLs: where their image is already there, and how their origin is asked about it."""

import json
import time
from collections.abc import Iterable

from resizer.database.reader import Reader
from resizer.database.rows import compressed_from, source_from
from resizer.models import Batch, CachedResult, Compressed, OriginInfo
from resizer.naming import key_of_url, stem_of

#: seconds before a batch was made within which what another batch that ran beside it has learnt is as good
#: as asking again
FRESH = 600.0
#: seconds; a batch may run for long, or be tried again much later
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
#: one image for each file whose name begins so; '/' is the character behind '.'
SELECT_FILES = """
    SELECT i.filename, i.format, i.width, i.height, i.input_bytes, i.output_bytes
    FROM json_each(?) wanted
    JOIN images i ON (i.batch_id, i.seq) = (
        SELECT batch_id, seq FROM images
        WHERE filename > wanted.value || '.' AND filename < wanted.value || '/' LIMIT 1)
"""


class CachedResults:
    """Looks up what earlier images have left."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of(self, batch: Batch, urls: Iterable[str]) -> dict[str, CachedResult]:
        """Return what is known of these URLs for the batch's recipe; URLs that nobody knows are left out."""
        keys = {key_of_url(url): url for url in urls}
        sources: dict[str, tuple[OriginInfo, bool]] = {}
        for row in await self._reader.fetch(SELECT_SOURCES, (json.dumps([*keys]),)):
            if keys.get(key_of_url(row["url"])) == row["url"]:
                source = source_from(row)
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
        found = [each for each in map(compressed_from, rows) if each is not None]
        return {each.filename.partition(".")[0]: each for each in found}


def ran_beside(batch: Batch, finished_at: float | None) -> bool:
    """Tell whether a batch that ended then, or has not, was under way when this one was made."""
    return finished_at is None or finished_at >= batch.created_at


def is_fresh(source: OriginInfo, batch: Batch, *, beside: bool) -> bool:
    """Tell whether the origin need not be asked again for the batch.

    What was learnt after the batch was made is as new as its client can expect; what a batch `beside` it has
    learnt shortly before is too. A clock that was put back makes nothing fresh.
    """
    now = time.time()
    since = max(batch.created_at - FRESH if beside else batch.created_at, now - LONGEST_FRESH)
    return since <= source.asked_at <= now
