"""Plumbing that knows nothing of images."""
