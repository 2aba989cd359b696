"""Names in a request's archive, `PRODUCT/POSITION-….EXT`: readable, and safe on every file system."""

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote

from resizer.models import Image

RESULT: Final = "result.csv"
ERRORS: Final = "errors.txt"

#: bytes of UTF-8 of a product's name and of what is kept of an image's: with number, position and extension a
#: path stays under 190, which leaves room for the folder to unpack into where 260 characters are all there is
FOLDER_BYTES = 96
STEM_BYTES = 60
#: bits of the table of folders that were given out
TABLE_BITS = 1 << 23

#: what Windows forbids, and `/` that all forbid
FORBIDDEN: Final = re.compile(r'[<>:"/\\|?*]')
#: devices of Windows, whatever extension follows
RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE
)
#: joiners that scripts and emoji need; all other format characters go, those that turn text around too
JOINERS: Final = frozenset("\u200c\u200d")
#: letters that show nothing
BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
KNOWN_EXTENSION: Final = re.compile(r"\.(jpe?g|jfif|png|webp|gif|avif|bmp|tiff?|heic|svg)$", re.IGNORECASE)
NUMBERED: Final = re.compile(r" \(line \d+\)$")


class ArchiveNames:
    """Gives each image of a batch its path; images come in the order of the CSV, all of them.

    A folder whose name was given out before gets the line of its product. Which were is kept in a table of
    fixed size, where names may fall together: then one is numbered without need, but never are two mixed. As
    images without a file are asked for too, a name depends on the CSV alone.
    """

    def __init__(self) -> None:
        self._given = bytearray(TABLE_BITS // 8)
        self._line = 0
        self._folder = ""
        for name in (RESULT, ERRORS):
            self._give(name)

    def path(self, image: Image) -> str | None:
        """Return the path in the archive; None for an image that has no file."""
        if image.line != self._line:
            self._line = image.line
            self._folder = self._folder_of(image)
        if image.compressed is None:
            return None
        stem = stem_of(image.url)
        name = f"{image.position}-{stem}" if stem else str(image.position)
        extension = image.compressed.filename.rpartition(".")[2]
        return f"{self._folder}/{name}.{extension}"

    def _folder_of(self, image: Image) -> str:
        name = safe(image.product_name, FOLDER_BYTES) or "product"
        # a product that is called as if it were numbered could be mistaken for one that is
        if NUMBERED.search(name) or not self._give(name):
            name = f"{name} (line {image.line})"
        return name

    def _give(self, name: str) -> bool:
        """Tell whether the name is free, and note that it is not any more."""
        digest = blake2b(_alike(name).encode(), digest_size=8).digest()
        byte, bit = divmod(int.from_bytes(digest) % TABLE_BITS, 8)
        free = not self._given[byte] >> bit & 1
        self._given[byte] |= 1 << bit
        return free


def safe(text: str, most_bytes: int) -> str:
    """Return a part of a path that can be everywhere, as near to the text as may be; perhaps empty."""
    shown = "".join(map(_shown, unicodedata.normalize("NFC", text)))
    # what was dropped may have kept a letter and its mark apart
    whole = unicodedata.normalize("NFC", " ".join(shown.split()))
    name = _cut(whole.lstrip(". "), most_bytes)
    if name.startswith(("-", "~")) or RESERVED.match(name):
        # a program would take it for an option or a home, Windows for a device
        name = _cut(f"_{name}", most_bytes)
    return name


def stem_of(url: str) -> str:
    """Return what the URL calls the image, without extension; empty if it says nothing."""
    path = re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")[2]
    last = unquote(path.rstrip("/").rpartition("/")[2], errors="replace")
    return safe(KNOWN_EXTENSION.sub("", last), STEM_BYTES)


@lru_cache(4096)
def _shown(character: str) -> str:
    if FORBIDDEN.match(character):
        return "_"
    category = unicodedata.category(character)
    if character in BLANK or category[0] == "Z":
        return " "
    if category == "Cf" and character not in JOINERS:
        return ""
    # control characters, but those that are white space, and halves of characters
    if category in {"Cc", "Cs"}:
        return " " if character.isspace() else "_"
    return character


def _cut(name: str, most_bytes: int) -> str:
    """Cut to so many bytes between two characters, with nothing at the end that Windows would drop."""
    return name.encode()[:most_bytes].decode(errors="ignore").rstrip(". \u200c\u200d")


def _alike(name: str) -> str:
    """Return a text that is the same for all names that some file system takes for one."""
    folded = unicodedata.normalize("NFKC", name).upper().casefold()
    return "".join(
        each for each in unicodedata.normalize("NFKC", folded) if unicodedata.category(each) != "Cf"
    )
