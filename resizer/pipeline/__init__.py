"""The heart: requests come in, their images are processed, and they end."""
