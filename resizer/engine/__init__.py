"""Where images are processed."""
