"""How much memory a child process may take."""

from resizer.config import CompressSettings

#: address space of a child before its first image; measured: 260 MiB with all libraries and their threads
CHILD_BASE = 512 * 2**20
#: Address space that a child needs beyond its start, for each pixel of compress.max_pixels. Measured with 50
#: megapixels: AVIF of RGBA 36.5, AVIF of RGB 33.3, WebP of RGBA 31.5, PNG 18.8, JPEG 12.0, animations 11.2;
#: PNG by libvips with 25 takes 33, JPEG by trellis with 16 takes 31.
BYTES_PER_PIXEL = 40


def memory_limit(settings: CompressSettings) -> int:
    """Return the address space in bytes that a child needs for the largest image allowed."""
    return CHILD_BASE + BYTES_PER_PIXEL * settings.max_pixels
