"""Name the images of an archive: `PRODUCT (line N)/POSITION-NAME.EXT`, readable and safe on every system."""

import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from resizer.models import Image

RESULT: Final = "result.csv"
ERRORS: Final = "errors.txt"

# With line, position and extension a path stays under 190 bytes, which leaves room for the folder it is
# unpacked into: Windows allows 260 characters.
FOLDER_BYTES = 96  # bytes of UTF-8, of a product's name
STEM_BYTES = 60  # bytes of UTF-8, of an image's name

#: forbidden on Windows; `/` everywhere
FORBIDDEN: Final = re.compile(r'[<>:"/\\|?*]')
#: devices of Windows, reserved with any extension
RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE
)
#: the only format characters kept, since scripts and emoji need them; others reverse or hide text
JOINERS: Final = frozenset("\u200c\u200d")
#: letters without a glyph
BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
KNOWN_EXTENSION: Final = re.compile(r"\.(jpe?g|jfif|png|webp|gif|avif|bmp|tiff?|heic|svg)$", re.IGNORECASE)


def archive_path(image: Image, filename: str) -> str:
    """Return the path in the archive of an image stored as `filename`.

    The line of its product makes the folder unique on every file system, whatever the products' names.
    """
    folder = safe(image.product_name, FOLDER_BYTES) or "product"
    stem = stem_of(image.url)
    name = f"{image.position}-{stem}" if stem else str(image.position)
    extension = filename.rpartition(".")[2]
    return f"{folder} (line {image.line})/{name}.{extension}"


def safe(text: str, max_bytes: int) -> str:
    """Return the text as part of a path, as little changed as possible; it can be empty."""
    shown = "".join(map(_shown, unicodedata.normalize("NFC", text)))
    # again, since a dropped character may have separated a letter from its mark
    whole = unicodedata.normalize("NFC", " ".join(shown.split()))
    name = _cut(whole.lstrip(". "), max_bytes)
    if name.startswith(("-", "~")) or RESERVED.match(name):
        # programs read these as an option or a home folder, Windows as a device
        name = _cut(f"_{name}", max_bytes)
    return name


def stem_of(url: str) -> str:
    """Return the image's name in its URL, without extension; empty if there is none."""
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
    if category in {"Cc", "Cs"}:  # control characters and surrogates
        return " " if character.isspace() else "_"
    return character


def _cut(name: str, max_bytes: int) -> str:
    """Cut between two characters, and drop trailing characters that Windows would drop."""
    return name.encode()[:max_bytes].decode(errors="ignore").rstrip(". \u200c\u200d")
