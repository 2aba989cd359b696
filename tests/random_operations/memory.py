"""What a client knows of its uploads, and so what must be true of the service."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from resizer.models import OutputFormat, Recipe

COLUMNS = ["Colour", "S. No.", "Product Name", "Input Image Urls"]
#: cells as shops have them
COLOURS = ["red", "", 'the "old" blue', "grün, hell", "two\nlines", " ", "=1+1"]
RECIPES = [
    Recipe(quality=50, format=OutputFormat.KEEP),
    Recipe(quality=30, format=OutputFormat.KEEP),
    Recipe(quality=50, format=OutputFormat.KEEP, max_width=64),
    Recipe(quality=60, format=OutputFormat.WEBP),
    Recipe(quality=60, format=OutputFormat.JPEG, max_width=100, max_height=50),
]


@dataclass(kw_only=True)
class Upload:
    """One catalogue that was sent, and what has been asked for it since."""

    number: int
    #: colour, serial, name
    cells: list[tuple[str, str, str]]
    #: of each row
    urls: list[list[str]]
    recipe: Recipe
    key: str | None
    webhook_url: str | None
    #: known once a 202 has come
    request_id: str | None = None
    #: posts under way
    sending: int = 0
    #: asked for, whether the answer came or not
    cancels: int = 0
    #: 202, or no answer: each may have given the request another end
    retries: int = 0
    #: retries sent, and those of them that are under way
    retries_sent: int = 0
    retrying: int = 0
    #: images that were completed when the client last looked
    completed: int = 0
    #: file names of completed images by their place, for they stay as they are
    files: dict[int, str] = field(default_factory=dict)
    #: its counters when it had ended, and how many retries had been sent by then
    ended: tuple[int, dict[str, int]] | None = None
    #: it was asked for; `deleted`, and the client knows that it was done
    deleting: bool = False
    deleted: bool = False
    #: its end was put back so far that it goes at the next start
    expired: bool = False

    @property
    def filename(self) -> str:
        return f"{self.number}.csv"

    @property
    def images(self) -> int:
        return sum(map(len, self.urls))

    @property
    def may_be_gone(self) -> bool:
        return self.deleting or self.expired

    def see_end(self, counts: dict[str, int]) -> None:
        """Remember how it ended; nothing but a retry gives it another end."""
        if self.ended and self.ended[0] == self.retries_sent:
            assert self.ended[1] == counts, f"#{self.number} ended twice: {self.ended[1]}, {counts}"
        self.ended = self.retries_sent, counts

    def see_file(self, place: int, name: str) -> None:
        """Remember the file of an image; it never gets another."""
        assert self.files.setdefault(place, name) == name, f"#{self.number}: two files of image {place}"

    def rows(self) -> list[list[str]]:
        """The catalogue, without its header."""
        return [[*cells, ",".join(urls)] for cells, urls in zip(self.cells, self.urls, strict=True)]

    def csv(self) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *self.rows()])
        return text.getvalue().encode()

    def options(self) -> dict[str, str]:
        recipe = self.recipe
        given = {
            "quality": str(recipe.quality),
            "format": str(recipe.format),
            "max_width": str(recipe.max_width),
            "max_height": str(recipe.max_height),
        }
        return given | ({"webhook_url": self.webhook_url} if self.webhook_url else {})


@dataclass
class Memory:
    """All uploads of a run."""

    uploads: list[Upload] = field(default_factory=list)

    def new(self, moments: Random, shop_urls: list[str], webhook_url: str) -> Upload:
        """Make up a catalogue; nothing is sent."""
        number = len(self.uploads)
        # a catalogue without any URL is refused
        sizes = [
            moments.randint(1, 3),
            *(moments.choice([0, 1, 1, 2, 3]) for _ in range(moments.randint(0, 9))),
        ]
        upload = Upload(
            number=number,
            cells=[(moments.choice(COLOURS), str(row + 1), f"P{number}-{row}") for row in range(len(sizes))],
            urls=[moments.sample(shop_urls, size) for size in sizes],
            recipe=moments.choice(RECIPES),
            key=moments.choice([None, f"key-{number}"]),
            webhook_url=moments.choice([None, webhook_url]),
        )
        self.uploads.append(upload)
        return upload

    def known(self) -> list[Upload]:
        """Those that can be asked for."""
        return [each for each in self.uploads if each.request_id and not each.expired]

    def living(self) -> Iterator[tuple[str, Upload]]:
        """Those that must be there, by their ids."""
        for each in self.uploads:
            if each.request_id and not each.may_be_gone:
                yield each.request_id, each
