"""Claims keep files from being deleted, and tell of deletions."""

import asyncio

from resizer.storage.claims import FileClaims


async def test_deletion_in_progress_is_seen_by_who_began_before_its_end() -> None:
    """A file found in between is gone afterwards: its finder has to look once more."""
    claims = FileClaims()
    with claims.deleting(["a.jpg"]):
        seen = claims.deletions
        claiming = asyncio.create_task(claims.claim("a"))
        await asyncio.sleep(0)
        assert not claiming.done()
    await claiming
    assert claims.deletions != seen


async def test_file_is_deleted_only_when_each_claim_is_released() -> None:
    claims = FileClaims()
    await claims.claim("a")
    await claims.claim("a")
    claims.release("a")
    with claims.deleting(["a.jpg", "b.jpg"]) as free:
        assert free == ["b.jpg"]
    claims.release("a")
    with claims.deleting(["a.jpg"]) as free:
        assert free == ["a.jpg"]


async def test_deleting_nothing_counts_as_no_deletion() -> None:
    claims = FileClaims()
    await claims.claim("a")
    with claims.deleting(["a.jpg"]):
        assert claims.deletions == 0
    assert claims.deletions == 0
