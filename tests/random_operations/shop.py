"""A shop whose images change, vanish, fail and hang between two requests for them."""

import asyncio
import functools
from dataclasses import replace
from random import Random

import photos
from origin import Answer, Origin
from outcomes import stem
from resizer.models import Recipe

#: URLs of the shop; few, so that requests share them
IMAGES = 12
#: contents that a URL has one after the other
VERSIONS = 3
#: seconds; shorter than `fetch.timeout` in these runs
SLOW = 0.4
QUICK = 0.05


@functools.cache
def content(number: int, version: int) -> bytes:
    """Bytes of an image; the last two URLs show the same ones, and every fifth is no JPEG."""
    number = min(number, IMAGES - 2)
    seed = number * VERSIONS + version
    if number % 5 == 4:
        return photos.encoded(photos.photo(80, 60, seed=seed), "PNG" if version else "WEBP")
    return photos.jpeg(seed=seed, width=128 + 16 * number, height=96)


class Shop:
    """Image URLs at a host on loopback; `change` gives one of them another answer."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._versions = [0] * IMAGES
        self.urls = [self._answer_well(number) for number in range(IMAGES)]

    def change(self, moments: Random) -> str:
        """Change what one URL answers; returns what it was, for the log."""
        number = moments.randrange(IMAGES)
        kind = moments.choice(["well", "well", "new", "new", "slow", "gone", "broken", "cut", "page", "hang"])
        if kind == "new":
            self._versions[number] = (self._versions[number] + 1) % VERSIONS
        self._answer_well(number)
        good = self._origin.answers(_path(number))[0]
        other = {
            "slow": replace(good, delay=SLOW),
            "gone": Answer(status=404),
            "broken": Answer(status=500),
            "cut": Answer.truncated(good.body),
            "page": Answer.html(),
            "hang": replace(good, gate=asyncio.Event()),
        }
        if kind in other:
            self._origin.add(_path(number), other[kind])
        return f"image {number} is {kind}"

    def calm(self) -> None:
        """Answer what is answered now, but at once: to wait would only make the end late."""
        for number in range(IMAGES):
            (answer,) = self._origin.answers(_path(number))
            self._origin.add(_path(number), replace(answer, gate=None, delay=0))

    def stems(self, url: str, recipe: Recipe) -> set[str]:
        """What the name of a file begins with that was made of this URL, whenever it was fetched."""
        number = self.urls.index(url)
        return {stem(content(number, version), recipe) for version in range(VERSIONS)}

    def _answer_well(self, number: int) -> str:
        version = self._versions[number]
        # every third tells nothing by which it could be asked whether it has changed
        headers = {"ETag": f'"{number}-{version}"'} if number % 3 else {}
        delay = QUICK * (number % 4)
        answer = Answer(
            body=content(number, version), headers=headers, conditional=bool(headers), delay=delay
        )
        return self._origin.add(_path(number), answer)


def _path(number: int) -> str:
    return f"/{number}.jpg"
