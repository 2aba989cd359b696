"""Read image containers byte by byte, without decoding a pixel."""
