"""Plumbing with names of the trade."""
