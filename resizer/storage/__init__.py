"""Where compressed files live."""
