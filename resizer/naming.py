"""Hash the name of a compressed file, and the key of a URL."""

from hashlib import blake2b

from resizer.models import Recipe

#: part of every hash; raised when the same recipe gives other bytes
GENERATION = 3
DIGEST_SIZE = 16  # bytes; a file name has twice as many digits


def stem_of(digest: str, recipe: Recipe) -> str:
    """Return the file name of a source with this digest, without its extension: 32 hexadecimal digits."""
    text = f"{GENERATION};{recipe.key()};{digest}"
    return blake2b(text.encode(), digest_size=DIGEST_SIZE).hexdigest()


def key_of_url(url: str) -> int:
    """Return the 64 bits, signed, that index a URL; the caller compares the URL itself."""
    digest = blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
