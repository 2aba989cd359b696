"""Outcomes of images that were never fetched."""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from resizer.errors import ErrorCode
from resizer.models import Batch, Compressed, Fault, Outcome, Recipe
from resizer.naming import DIGEST_SIZE, stem_of

#: makes a batch with an image at each of these hosts
MakeBatch = Callable[[Sequence[str]], Awaitable[Batch]]


def done(batch_id: int, seq: int, *, size: int = 1) -> Outcome:
    compressed = Compressed(
        filename=f"{seq:032x}.jpg", format="jpeg", width=1, height=1, input_bytes=2 * size, output_bytes=size
    )
    return Outcome(batch_id=batch_id, seq=seq, attempts=1, compressed=compressed)


def stem(data: bytes, recipe: Recipe) -> str:
    """Return the stem of the file made from these bytes."""
    return stem_of(sha256(data).hexdigest()[: 2 * DIGEST_SIZE], recipe)


def failed(
    batch_id: int, seq: int, code: ErrorCode = ErrorCode.CONNECT, http_status: int | None = None
) -> Outcome:
    fault = Fault(code=code, message="it failed", http_status=http_status)
    return Outcome(batch_id=batch_id, seq=seq, attempts=4, fault=fault)
