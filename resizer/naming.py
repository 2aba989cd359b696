"""Names made by hashing: of a compressed file, and of a URL in an index."""

from hashlib import blake2b

from resizer.models import Recipe

#: part of every file name: raised when the same recipe gives other bytes
GENERATION = 3
DIGEST_SIZE = 16  # bytes; as many as a file name shows


def stem_of(digest: str, recipe: Recipe) -> str:
    """Return the 32 hexadecimal digits before the extension, for a source of this digest."""
    text = f"{GENERATION};{recipe.key()};{digest}"
    return blake2b(text.encode(), digest_size=DIGEST_SIZE).hexdigest()


def key_of_url(url: str) -> int:
    """Return 64 bits, signed, by which a URL is found again; the URL itself is compared then."""
    digest = blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
