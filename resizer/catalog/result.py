"""Write the result: the client's CSV with the outcomes of its images."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import compress

from resizer.catalog.header import normalised

OUTPUT = "Output Image Urls"
DETAILS = ("Errors", "Input Bytes", "Output Bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """The outcome of one image; the defaults are those of an image without one."""

    output_url: str = ""
    #: error code (docs/formats.md)
    error: str = ""
    input_bytes: int | None = None
    output_bytes: int | None = None


class ResultWriter:
    """Encodes the result in pieces: first the header, then the products in order."""

    def __init__(self, columns: Sequence[str], *, detail: bool = False) -> None:
        self._kept = [normalised(column) != normalised(OUTPUT) for column in columns]
        self._columns = columns
        self._detail = detail

    def header(self) -> bytes:
        added = (OUTPUT, *DETAILS) if self._detail else (OUTPUT,)
        return _encoded([[*compress(self._columns, self._kept), *added]])

    def products(self, products: Iterable[tuple[Sequence[str], Sequence[Slot]]]) -> bytes:
        """Return the lines of some products, each given as its cells and a slot for each image."""
        return _encoded([*compress(cells, self._kept), *self._added(slots)] for cells, slots in products)

    def _added(self, slots: Sequence[Slot]) -> Iterator[str]:
        yield ",".join([slot.output_url for slot in slots])
        if self._detail:
            yield ",".join([slot.error for slot in slots])
            yield ",".join([_count(slot.input_bytes) for slot in slots])
            yield ",".join([_count(slot.output_bytes) for slot in slots])


def _count(count: int | None) -> str:
    return "" if count is None else str(count)


def _encoded(rows: Iterable[Sequence[str]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
