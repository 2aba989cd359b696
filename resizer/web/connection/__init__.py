"""Connections: clocks, limits, and who may connect."""
