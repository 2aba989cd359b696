"""Download images within limits, from addresses that are allowed."""
