"""Connections, their limits, and middlewares."""
