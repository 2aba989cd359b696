"""Earlier images of a URL are found by the URL, for a recipe that made their file."""

import time
from dataclasses import replace

import pytest

from databases import published, state
from outcomes import done
from resizer.database import Database, is_fresh, ran_beside
from resizer.database.cached_results import FRESH, LONGEST_FRESH
from resizer.models import Batch, CachedResult, Compressed, OriginInfo, Outcome, OutputFormat, Recipe
from resizer.naming import stem_of

URL = "http://h/0-0.jpg"


def outcome(batch: Batch, source: OriginInfo) -> Outcome:
    """The first image, under the name that its digest and the batch's recipe give."""
    plain = done(batch.id, 0)
    assert plain.compressed is not None
    name = f"{stem_of(source.digest, batch.recipe)}.jpg"
    return replace(plain, compressed=replace(plain.compressed, filename=name), source=source)


def origin_info(digest: str = "d" * 32, *, location: str | None = None, asked_at: float = 0) -> OriginInfo:
    return OriginInfo(digest=digest, etag='"e"', location=location, asked_at=asked_at or time.time())


async def test_latest_result_of_a_url_is_found_for_its_recipe(database: Database) -> None:
    batches = [await published(database, 1) for _ in range(3)]
    sources = [origin_info(digit * 32, location="http://h/there") for digit in "ab"]
    recorded = [outcome(batch, source) for batch, source in zip(batches, sources, strict=False)]
    for each in recorded:
        await database.record(each)
    asking = batches[2]
    found = await database.cached_results.of(asking, [URL, "http://h/never.jpg"])
    compressed = recorded[1].compressed
    assert isinstance(compressed, Compressed)
    assert found == {URL: CachedResult(source=sources[1], compressed=compressed, fresh=True)}
    other = replace(asking, recipe=Recipe(quality=51, format=OutputFormat.KEEP))
    assert await database.cached_results.of(other, [URL]) == {}


async def test_deleted_or_unfinished_images_are_no_results(database: Database) -> None:
    batch, asking = await published(database, 2), await published(database, 1)
    assert await database.cached_results.of(asking, [URL]) == {}
    await database.record(outcome(batch, origin_info()))
    assert list(await database.cached_results.of(asking, [URL])) == [URL]
    await database.removal.forget(batch.id)
    assert await database.cached_results.of(asking, [URL]) == {}


@pytest.mark.parametrize(
    "asked, created, beside, fresh",
    [
        (-1, -2, False, True),  # asked after the batch was created
        (-2, -1, False, False),
        (-2, -1, True, True),
        (-1 - FRESH - 1, -1, True, False),
        (-LONGEST_FRESH - 1, -LONGEST_FRESH - 2, True, False),
        (60, -1, True, False),  # the clock was set back
    ],
)
async def test_answer_is_fresh_by_when_it_was_given(
    asked: float, created: float, beside: bool, fresh: bool, database: Database
) -> None:
    now = time.time()
    batch = replace(await published(database, 1), created_at=now + created)
    assert is_fresh(origin_info(asked_at=now + asked), batch, beside=beside) is fresh


async def test_batches_ran_beside_each_other_unless_one_ended_first(database: Database) -> None:
    first = await published(database, 1)
    await database.record(done(first.id, 0))
    ended = (await state(database, first)).finished_at
    assert ended is not None
    batch = replace(first, created_at=ended)
    assert ran_beside(batch, None)
    assert ran_beside(batch, ended)
    assert not ran_beside(batch, ended - 1)
