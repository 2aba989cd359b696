"""One image: fetch it, compress it."""
