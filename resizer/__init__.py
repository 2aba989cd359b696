"""Turn a CSV of product image URLs into compressed images."""
