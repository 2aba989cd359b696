"""Handlers of requests, and the bodies that they answer with."""
