"""Compress images in child processes."""
