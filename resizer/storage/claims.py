"""Keep files that are in use from being deleted."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class FileClaims:
    """Files that an image is about to name, by stem; nothing deletes a file that is claimed.

    A file is claimed before it is looked for or made, and until the outcome that names it is recorded: then
    the database knows it. A name that is being deleted can be claimed once that is over.
    """

    def __init__(self) -> None:
        #: how often deletions have begun or ended
        self.deletions = 0
        self._claims: Counter[str] = Counter()
        self._deleting: dict[str, asyncio.Event] = {}

    async def claim(self, stem: str) -> None:
        """Claim a file; as often as it is claimed it has to be released."""
        while (deleted := self._deleting.get(stem)) is not None:
            await deleted.wait()
        self._claims[stem] += 1

    def release(self, stem: str) -> None:
        self._claims[stem] -= 1
        if not self._claims[stem]:
            del self._claims[stem]

    @contextmanager
    def deleting(self, names: Iterable[str]) -> Iterator[list[str]]:
        """Give those of the files that are not claimed; until the end they cannot be."""
        free = [name for name in names if stem_of_name(name) not in self._claims]
        deleted = asyncio.Event()
        stems = {stem_of_name(name) for name in free}
        self._deleting |= dict.fromkeys(stems, deleted)
        self.deletions += bool(stems)
        try:
            yield free
        finally:
            for stem in stems:
                del self._deleting[stem]
            self.deletions += bool(stems)
            deleted.set()


def stem_of_name(name: str) -> str:
    return name.partition(".")[0]
