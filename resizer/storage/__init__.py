"""Storage of compressed files."""
