"""Outcomes of images that were never fetched."""

from collections.abc import Awaitable, Callable, Sequence

from resizer.errors import ErrorCode
from resizer.models import Batch, Compressed, Fault, Outcome

#: makes a batch with one image at each of these hosts
MakeBatch = Callable[[Sequence[str]], Awaitable[Batch]]


def done(batch_id: int, seq: int, *, size: int = 1) -> Outcome:
    compressed = Compressed(
        filename=f"{seq:032x}.jpg", format="jpeg", width=1, height=1, input_bytes=2 * size, output_bytes=size
    )
    return Outcome(batch_id=batch_id, seq=seq, attempts=1, compressed=compressed)


def failed(
    batch_id: int, seq: int, code: ErrorCode = ErrorCode.CONNECT, http_status: int | None = None
) -> Outcome:
    fault = Fault(code=code, message="it failed", http_status=http_status)
    return Outcome(batch_id=batch_id, seq=seq, attempts=4, fault=fault)
